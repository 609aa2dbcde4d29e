//! The parts of the merge's statements that name the columns of hours, of which each merge changes others.

use entity::page_views_report::hour_column;

/// Replaces what stands for the columns of `hours` in `sql`. `sent` writes how a sent value of the number `index` is read.
pub(crate) fn fill_in(sql: &str, hours: &[i16], row: &str, sent: impl Fn(usize) -> String) -> String {
    let list = |item: &dyn Fn(usize, String) -> String| -> String {
        hours.iter().enumerate().map(|(index, hour)| format!(", {}", item(index, hour_column(*hour)))).collect()
    };
    // An hour without views is null.
    let set = |_, column: String| {
        format!(
            "{column} = CASE WHEN report.grain IN ('day', 'group_day') AND {row}.{column} <> 0 \
             THEN coalesce(report.{column}, 0) + {row}.{column} ELSE report.{column} END"
        )
    };
    sql.replace("{hour_names}", &list(&|_, column| column))
        .replace("{hour_arrays}", &list(&|index, _| sent(index)))
        .replace("{hours_sent}", &list(&|index, column| format!("{} AS {column}", sent(index))))
        .replace(
            "{hour_values}",
            &list(&|_, column| {
                format!("CASE WHEN bucket.grain IN ('day', 'group_day') THEN nullif(delta.{column}, 0) END")
            }),
        )
        .replace("{hour_sets}", &list(&set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_hours_are_filled_in() {
        let sql = "INSERT (views{hour_names}) SELECT views{hour_values} FROM unnest($1{hour_arrays})";
        let filled = fill_in(sql, &[3, 14], "delta", |index| format!("${}", 2 + index));
        let value = |hour: &str| {
            format!("CASE WHEN bucket.grain IN ('day', 'group_day') THEN nullif(delta.hour_{hour}, 0) END")
        };
        let values = format!("{}, {}", value("03"), value("14"));
        let expected = format!("INSERT (views, hour_03, hour_14) SELECT views, {values} FROM unnest($1, $2, $3)");
        assert_eq!(filled, expected);
        assert_eq!(fill_in(sql, &[], "delta", |_| String::new()), "INSERT (views) SELECT views FROM unnest($1)");
    }
}
