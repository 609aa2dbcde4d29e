//! Figures as people read them.

use std::time::Duration;

const MIB: f64 = 1_048_576.0;

/// The middle one, the greater of two; nothing of nothing.
pub(crate) fn median<T: Copy + PartialOrd>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len().div_euclid(2)).copied()
}

/// The one with the middle figure, of an even number the greater of the two in the middle; nothing of nothing.
pub(crate) fn median_by<T>(mut values: Vec<T>, figure: impl Fn(&T) -> f64) -> Option<T> {
    values.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
    let middle = values.len().div_euclid(2);
    (middle < values.len()).then(|| values.swap_remove(middle))
}

/// Milliseconds, with as many decimals as mean something.
pub(crate) fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1_000.0;
    if ms < 10.0 {
        format!("{ms:.2}")
    } else if ms < 100.0 {
        format!("{ms:.1}")
    } else {
        grouped(format!("{ms:.0}"))
    }
}

/// A number with its thousands apart.
pub(crate) fn count(number: impl ToString) -> String {
    grouped(number.to_string())
}

/// Mebibytes of bytes.
pub(crate) fn mib(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "printed with one decimal")]
    let mib = bytes as f64 / MIB;
    if mib < 100.0 { format!("{mib:.1}") } else { grouped(format!("{mib:.0}")) }
}

/// How many times `part` is in `whole`.
pub(crate) fn ratio(whole: Duration, part: Duration) -> f64 {
    whole.as_secs_f64() / part.as_secs_f64()
}

/// Percent of a share.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

fn grouped(digits: String) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.as_bytes()[index - 1].is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(count(5_000_000), "5,000,000");
        assert_eq!(count(-100), "-100");
        assert_eq!(count(999), "999");
        assert_eq!(ms(Duration::from_micros(1_234)), "1.23");
        assert_eq!(ms(Duration::from_millis(123_456)), "123,456");
        assert_eq!(mib(1_572_864), "1.5");
        assert_eq!(percent(Some(0.999)), "100 %");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3, 1, 2]), Some(2));
        assert_eq!(median([4, 1, 2, 3]), Some(3));
        assert_eq!(median::<u8>([]), None);
    }
}
