//! Times, as servers write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A time as it is written.
#[derive(Copy, Clone, Debug)]
pub(crate) struct WrittenTime {
    local: NaiveDateTime,
    offset: Option<TimeDelta>,
}

impl WrittenTime {
    /// Returns the time, taken as UTC if no offset is written.
    pub(crate) fn utc(self) -> DateTime<Utc> {
        self.local.checked_sub_signed(self.offset.unwrap_or_default()).unwrap_or(self.local).and_utc()
    }

    /// Returns the time; none if no offset is written.
    pub(crate) fn with_offset(self) -> Option<DateTime<Utc>> {
        self.offset.map(|_| self.utc())
    }
}

/// Reads the time that `text` begins with, in Apache's or nginx's form or that of ISO 8601, and returns it with the
/// text after it. Fractions of seconds are dropped.
///
/// ```text
/// 17/May/2015:10:05:03 +0000      17/May/2015:10:05:03.123
/// 2015-05-17T10:05:03.123456Z     2015/05/17 10:05:03     2015-05-17T12:05:03+02:00
/// ```
pub(crate) fn read_time(text: &[u8]) -> Option<(WrittenTime, &[u8])> {
    let mut cursor = Cursor(text);
    let (year, month, day);
    if text.get(4).is_some_and(|byte| b"-/".contains(byte)) {
        year = cursor.digits(4)?;
        cursor.one_of(b"-/")?;
        month = cursor.digits(2)?;
        cursor.one_of(b"-/")?;
        day = cursor.digits(2)?;
        cursor.one_of(b"T t")?;
    } else {
        // The day of some servers has one digit.
        day = if text.get(1) == Some(&b'/') { cursor.digits(1)? } else { cursor.digits(2)? };
        cursor.one_of(b"/")?;
        month = cursor.month()?;
        cursor.one_of(b"/")?;
        year = cursor.digits(4)?;
        cursor.one_of(b": ")?;
    }
    let hour = cursor.digits(2)?;
    cursor.one_of(b":")?;
    let minute = cursor.digits(2)?;
    cursor.one_of(b":")?;
    let second = cursor.digits(2)?;
    // A leap second.
    let second = if second == 60 { 59 } else { second };
    cursor.skip_fraction();
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let local = date.and_hms_opt(hour, minute, second)?;
    let offset = cursor.offset();
    Some((WrittenTime { local, offset }, cursor.0))
}

/// Reads a time that `text` has nothing else than.
pub(crate) fn read_whole(text: &[u8]) -> Option<DateTime<Utc>> {
    let (time, rest) = read_time(text)?;
    rest.is_empty().then(|| time.utc())
}

/// Reads a date, `2015-05-17`, that `text` has nothing else than.
pub(crate) fn read_date(text: &[u8]) -> Option<NaiveDate> {
    let mut cursor = Cursor(text);
    let year = cursor.digits(4)?;
    cursor.one_of(b"-/")?;
    let month = cursor.digits(2)?;
    cursor.one_of(b"-/")?;
    let day = cursor.digits(2)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    cursor.0.is_empty().then_some(date)
}

/// Reads a time since 1970 in seconds, or in milliseconds, microseconds or nanoseconds: which, is clear from the size
/// of the number, since all are of the same centuries.
pub(crate) fn read_unix(number: f64) -> Option<DateTime<Utc>> {
    // The seconds of the year 5138; in milliseconds, those of 1973.
    const SECONDS_END: f64 = 1e11;
    let seconds = [1.0, 1e3, 1e6, 1e9].map(|unit| number / unit).into_iter().find(|seconds| *seconds < SECONDS_END)?;
    let millis = (seconds >= 0.0).then_some(seconds * 1e3)?;
    #[expect(clippy::cast_possible_truncation, reason = "at most 1e14")]
    DateTime::from_timestamp_millis(millis as i64)
}

/// Reads a time since 1970 that `text` has nothing else than.
pub(crate) fn read_unix_text(text: &[u8]) -> Option<DateTime<Utc>> {
    let is_number =
        text.first().is_some_and(u8::is_ascii_digit) && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    read_unix(is_number.then(|| str::from_utf8(text).ok()?.parse().ok())??)
}

/// The rest of a text that is read from its beginning.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| number * 10 + u32::from(digit))
        })
    }

    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        allowed.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn month(&mut self) -> Option<u32> {
        let (name, rest) = self.0.split_at_checked(3)?;
        self.0 = rest;
        let month = MONTHS.iter().position(|month| *month == name)?;
        u32::try_from(month + 1).ok()
    }

    fn skip_fraction(&mut self) {
        if let Some((b'.' | b',', rest)) = self.0.split_first()
            && rest.first().is_some_and(u8::is_ascii_digit)
        {
            self.0 = rest.trim_ascii_start();
            let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            self.0 = &rest[end..];
        }
    }

    /// Reads `Z`, `+0200` or `+02:00`, with or without a space before it. Moves on only if there is one.
    fn offset(&mut self) -> Option<TimeDelta> {
        let mut ahead = Cursor(self.0.strip_prefix(b" ").unwrap_or(self.0));
        let offset = if ahead.one_of(b"Zz").is_some() {
            TimeDelta::zero()
        } else {
            let sign = ahead.one_of(b"+-")?;
            let hours = ahead.digits(2)?;
            ahead.0 = ahead.0.strip_prefix(b":").unwrap_or(ahead.0);
            let minutes = ahead.digits(2)?;
            let offset = TimeDelta::minutes(i64::from((hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?));
            if sign == b'-' { -offset } else { offset }
        };
        self.0 = ahead.0;
        Some(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<(String, &str)> {
        let (time, rest) = read_time(text.as_bytes())?;
        Some((time.utc().to_rfc3339(), str::from_utf8(rest).unwrap()))
    }

    #[test]
    fn time_is_read_in_the_forms_of_all_servers() {
        for (text, rest) in [
            ("17/May/2015:10:05:03 +0000]", "]"),
            ("17/May/2015:10:05:03.999 +0000] x", "] x"),
            ("17/May/2015:10:05:03.655]", "]"),
            ("17/May/2015:10:05:03 h", " h"),
            ("17/May/2015:12:05:03 +0200", ""),
            ("17/May/2015:04:35:03 -0530", ""),
            ("17/May/2015 10:05:03", ""),
            ("2015-05-17T10:05:03Z", ""),
            ("2015-05-17T10:05:03.123456789Z\"", "\""),
            ("2015-05-17T12:05:03+02:00", ""),
            ("2015-05-17T12:05:03,5+0200", ""),
            ("2015-05-17 10:05:03", ""),
            ("2015-05-17 10:05:03 -", " -"),
            ("2015-05-17 10:05:03 +0000 UTC", " UTC"),
            ("2015/05/17 10:05:03.", "."),
        ] {
            assert_eq!(utc(text), Some(("2015-05-17T10:05:03+00:00".to_owned(), rest)), "{text}");
        }
        assert_eq!(utc("1/May/2015:23:59:60 +0000").unwrap().0, "2015-05-01T23:59:59+00:00");
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "17/Mai/2015:10:05:03 +0000",
            "31/Feb/2015:10:05:03 +0000",
            "17/May/2015:24:05:03 +0000",
            "17/May/2015:10:61:03 +0000",
            "17/May/15:10:05:03 +0000",
            "2015-13-17T10:05:03Z",
            "2015-05-17",
            "2015-05-17T10:05",
            "\u{661}7/May/2015:10:05:03 +0000",
        ] {
            assert!(utc(text).is_none(), "{text}");
        }
    }

    #[test]
    fn time_since_1970_is_read_in_every_unit() {
        for text in ["1431857103", "1431857103.999", "1431857103000", "1431857103000000", "1431857103000000000"] {
            let time = read_unix_text(text.as_bytes()).unwrap();
            assert_eq!(time.timestamp(), 1_431_857_103, "{text}");
        }
        for text in ["", "-1", "1e9", "1.2.3", "x", "1431857103000000000000"] {
            assert_eq!(read_unix_text(text.as_bytes()), None, "{text}");
        }
        assert_eq!([f64::NAN, f64::INFINITY, -1.0].map(read_unix), [None; 3]);
    }
}
