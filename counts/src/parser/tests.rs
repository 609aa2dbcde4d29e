use proptest::prelude::*;

use super::*;
use crate::Form;

fn hour(text: &str) -> CountedTime {
    CountedTime::Hour(Hour::containing(text.parse().unwrap()))
}

fn parse(format: Format, text: &str) -> Vec<Result<Parsed, LineError>> {
    let mut parser = Parser::new(format);
    text.split_inclusive('\n').filter_map(|line| parser.parse(line.as_bytes()).transpose()).collect()
}

fn count(page: &str, title: Option<&str>, time: CountedTime, views: i64) -> Result<Parsed, LineError> {
    Ok(Parsed::Count(Count { page: page.to_owned(), title: title.map(str::to_owned), time, views }))
}

#[test]
fn columns_of_a_csv_may_be_in_any_order_and_title_and_grain_missing() {
    let read = parse(Format::Csv, "views,page,start\n3,/a,2026-01-31T13:00:00Z\n4,\"/b,\"\"c\",2026-01-31\n");
    let day = CountedTime::Day("2026-01-31".parse().unwrap());
    assert_eq!(read, [count("/a", None, hour("2026-01-31T13:00:00Z"), 3), count("/b,\"c", None, day, 4)]);
}

#[test]
fn goatcounter_counts_views_and_leaves_events_and_bots_out() {
    let text = "2Path,Title,Event,UserAgent,Browser,System,Session,Bot,Referrer,Referrer scheme,Screen size,Location,\
                FirstVisit,Date\n\
                /a,\"A, b\",false,x,x,x,1,0,,,,NL,1,2026-01-31T13:05:00Z\n\
                click,,true,x,x,x,1,0,,,,NL,1,2026-01-31T13:05:00Z\n\
                /a,,0,x,x,x,1,150,,,,NL,1,2026-01-31T13:05:00Z\n\
                /a,,0,x,x,x,1,0,,,,NL,1,yesterday\n";
    let read = parse(Format::Goatcounter, text);
    assert_eq!(
        read[..3],
        [
            count("/a", Some("A, b"), hour("2026-01-31T13:00:00Z"), 1),
            Ok(Parsed::LeftOut(LeftOut::Event)),
            Ok(Parsed::LeftOut(LeftOut::Bot))
        ]
    );
    let error = read[3].as_ref().unwrap_err().to_string();
    assert_eq!(error, "Date must be like 2026-01-31T13:05:00Z, not \"yesterday\"");
}

#[test]
fn plausible_and_wikimedia_have_a_line_a_page() {
    let day = CountedTime::Day("2026-01-31".parse().unwrap());
    let text = "\"date\",\"hostname\",\"page\",\"visits\",\"visitors\",\"pageviews\"\n\
                \"2026-01-31\",\"example.org\",\"/a\",1,1,7\n2026-01-31,example.org,/b,1,1,0\n";
    let read = parse(Format::Plausible, text);
    assert_eq!(read, [count("/a", None, day, 7), Ok(Parsed::LeftOut(LeftOut::NoViews))]);
    let CountedTime::Hour(of_name) = hour("2026-01-31T13:00:00Z") else { unreachable!() };
    let read = parse(Format::Wikimedia(of_name), "en Main_Page 7 0\nde \"x\" 1 0\n");
    assert_eq!(read[0], count("en/Main_Page", None, hour("2026-01-31T13:00:00Z"), 7));
    assert_eq!(read[1], count("de/\"x\"", None, hour("2026-01-31T13:00:00Z"), 1));
}

#[test]
fn error_says_what_is_wrong_and_where() {
    let header = "page,title,start,grain,views\n";
    for (line, error) in [
        ("/a,,2026-01-31,day", "it has 4 cells, and the header 5"),
        ("\"/a,,2026-01-31,day,1", "a quoted cell has no end in this line"),
        ("/a,,2026-01-31,day,x", "views must be a number from 0 to 1000000000000, not \"x\""),
        ("/a,,2026-01-31,day,-1", "views must be a number from 0 to 1000000000000, not \"-1\""),
        ("/a,,soon,hour,1", "start must be like 2026-01-31T13:00:00Z or 2026-01-31, not \"soon\""),
        ("/a,,2026-01-31,week,1", "grain must be hour or day, not \"week\""),
        (",,2026-01-31,day,1", "page is empty"),
    ] {
        let read = parse(Format::Csv, &format!("{header}{line}\n"));
        assert_eq!(read[0].as_ref().unwrap_err().to_string(), error, "{line}");
    }
    assert_eq!(parse(Format::Csv, "a,b\n")[0], Err(LineError::NoHeader));
    let read = parse(Format::Jsonl, "{\"page\":\"/a\",\"views\":1}\n");
    assert!(read[0].as_ref().unwrap_err().to_string().contains("missing field `start`"), "{read:?}");
}

proptest! {
    #[test]
    fn what_was_written_is_read_as_it_was(
        texts in proptest::collection::vec(("[=+@'\",;a\u{e9}\u{ff1d} -]{1,6}", "[=+@'\",;a\u{e9} -]{0,6}"), 1..5),
        views in 1..=VIEWS_MAX,
        is_day: bool,
    ) {
        let day = "2026-01-31".parse().unwrap();
        let time = if is_day { CountedTime::Day(day) } else { CountedTime::Hour(Hour::new(day, 7)) };
        let counts: Vec<_> = texts
            .into_iter()
            .map(|(page, title)| Count { page, title: Some(title).filter(|title| !title.is_empty()), time, views })
            .collect();
        for (form, format) in [(Form::Csv, Format::Csv), (Form::Jsonl, Format::Jsonl)] {
            let text = [form.beginning().unwrap(), form.lines(&counts).unwrap()].concat();
            let read: Result<Vec<_>, _> = parse(format, str::from_utf8(&text).unwrap()).into_iter().collect();
            let expected: Vec<_> = counts.iter().cloned().map(Parsed::Count).collect();
            prop_assert_eq!(read.unwrap(), expected);
        }
    }
}
