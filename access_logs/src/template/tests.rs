use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::{Format, Parser};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0";
/// The combined format, as nginx's documents have it.
const NGINX: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
const LINE: &str = r#"192.0.2.1 - - [17/May/2023:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "FIREFOX""#;

fn template(text: &str) -> Template {
    Template::new(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn assert_reads(text: &str, line: &str) {
    let line = line.replace("FIREFOX", FIREFOX);
    let expected = LogLine {
        method: Cow::from(&b"GET"[..]),
        target: Cow::from("/a?b"),
        status: 200,
        time: "2023-05-17T10:05:03Z".parse().unwrap(),
        user_agent: line.contains(FIREFOX).then_some(Cow::from(FIREFOX)),
    };
    let template = template(text);
    let read = template.parse(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
    let time = DateTime::from_timestamp(read.time.timestamp(), 0).unwrap();
    assert_eq!(LogLine { time, ..read }, expected, "{text}\n{line}");
    assert_eq!(template.to_string(), text);
}

#[test]
fn log_format_of_nginx_is_taken_as_it_is_written() {
    for text in [
        NGINX,
        &format!("'{NGINX}'"),
        &format!("log_format main '{NGINX}';"),
        r#"log_format  main  '$remote_addr - $remote_user [$time_local] "$request" '
                              '$status $body_bytes_sent "$http_referer" '
                              '"$http_user_agent"';"#,
        r#""$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"""#,
        r#"${remote_addr} - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\""#,
    ] {
        assert_reads(text, LINE);
    }
    for (text, line) in [
        (
            r#""$http_x_forwarded_for" $host:$server_port [$time_iso8601] $request_method "$request_uri" $status $request_time "$http_user_agent" $request_id"#,
            r#""192.0.2.7, 198.51.100.1" e.org:443 [2023-05-17T12:05:03+02:00] GET "/a?b" 200 0.001 "FIREFOX" 17"#,
        ),
        ("$msec $status $uri$is_args$args $bytes_sent", "1684317903.123 200 /a?b 5"),
        (
            "$time_local|$scheme://$host$request_uri|$status|$http_user_agent",
            "17/May/2023:10:05:03 +0000|https://e.org/a?b|200|FIREFOX",
        ),
        (r"$time_iso8601\t$request\t$status", "2023-05-17T10:05:03Z\tGET /a?b HTTP/1.1\t200"),
        ("$status $request $time_iso8601", "200 GET /a?b HTTP/1.1 2023-05-17T10:05:03Z"),
    ] {
        assert_reads(text, line);
    }
}

#[test]
fn escapes_are_those_that_the_template_names() {
    let json = r#"log_format json escape=json '{"time":"$time_iso8601","request":"$request","status":$status,"agent":"$http_user_agent"}';"#;
    let line = |target: &str| {
        format!(
            r#"{{"time":"2023-05-17T10:05:03+00:00","request":"GET {target} HTTP/1.1","status":200,"agent":"FIREFOX"}}"#
        )
    };
    assert_reads(json, &line("/a?b"));
    assert!(template(json).begins_with_brace() && !template(NGINX).begins_with_brace());
    for (escape, target, expected) in [
        ("escape=json ", r#"/\"\u001f\\é"#, "/\"\u{1f}\\\u{e9}"),
        ("escape=default ", r"/\x22\xC3\xA9\x5C", "/\"\u{e9}\\"),
        ("", r"/\x22\xC3\xA9\x5C", "/\"\u{e9}\\"),
        ("escape=none ", r#"/"\x22"#, r#"/"\x22"#),
    ] {
        let template = template(&json.replace("escape=json ", escape));
        assert_eq!(template.parse(line(target).as_bytes()).unwrap().target, expected, "{escape}");
    }
    let target = template(NGINX).parse(LINE.replace("/a?b", r"/\xE9").as_bytes()).map(|line| line.target.into_owned());
    assert!(matches!(target, Err(LineError::Target(_))));
}

#[test]
fn log_format_of_apache_is_taken_as_it_is_written() {
    let combined = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;
    let escaped = combined.replace('"', "\\\"");
    for text in [
        combined,
        &escaped,
        &format!("\"{escaped}\""),
        &format!("LogFormat \"{escaped}\" combined"),
        r#"%h %l %u %t "%r" %>s %O "%!404,301{Referer}i" "%{User-agent}i""#,
    ] {
        assert_reads(text, LINE);
    }
    for (text, line) in [
        (
            r#"%h %l %u %t "%r" %>s %b \"%{User-Agent}i\""#,
            r#"192.0.2.1 - - [17/May/2023:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 5 "FIREFOX""#,
        ),
        (
            r#"%h %l %u %t "%r" %>s %b"#,
            r#"192.0.2.1 - Jane [a] [17/May/2023:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 5"#,
        ),
        (
            "%v:%p %a %{begin:%Y-%m-%dT%H:%M:%S}t %m %U%q %H %s %D %%",
            "e.org:443 192.0.2.1 2023-05-17T10:05:03 GET /a?b HTTP/1.1 200 15 %",
        ),
        ("[%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t] %m %U%q %>s", "[17/May/2023:12:05:03.123 +0200] GET /a?b 200"),
        ("%{sec}t %m %U%q %400,501s", "1684317903 GET /a?b 200"),
        ("%{msec}t %m %U%q %s", "1684317903123 GET /a?b 200"),
        ("%{usec}t %m %U%q %s", "1684317903123456 GET /a?b 200"),
        ("%{%s}t %m %U%q %s %{UNIQUE_ID}e %^FB %{SSL_PROTOCOL}x", "1684317903 GET /a?b 200 - - TLSv1.3"),
        (r"%t\t%r\t%s", "[17/May/2023:10:05:03 +0000]\tGET /a?b HTTP/1.1\t200"),
        ("%{%d %B %Y %I:%M %p}t %m %U%q %s", "17 May 2023 10:05 AM GET /a?b 200"),
    ] {
        let minute = text.contains("%I:%M").then(|| template(text).parse(line.as_bytes()).unwrap().time.to_rfc3339());
        match minute {
            Some(time) => assert_eq!(time, "2023-05-17T10:05:00+00:00"),
            None => assert_reads(text, line),
        }
    }
}

#[test]
fn template_by_which_views_cannot_be_counted_is_refused_in_words() {
    for (text, reason) in [
        ("$remote_addr \"$request\" $status", "no time"),
        ("[$time_local] $status", "no path"),
        ("[$time_local] \"$request\"", "no status"),
        ("%t \"%r\" %b", "no status"),
        ("%t %m %s", "no path"),
        ("\"%r\" %s", "no time"),
        ("%t \"%r\" %s %Z", "unknown field: %Z"),
        ("%t \"%r\" %s %", "unknown field: %"),
        ("%t \"%r\" %s %{a", "unknown field: %"),
        (
            "[$time_local] $request_method$request_uri $status",
            "nothing stands between $request_method and $request_uri",
        ),
        ("[$time_local] \"$request\" $remote_user$http_user_agent $status", "nothing stands between $remote_user and"),
        ("%{%H:%M}t \"%r\" %s", "do not say day, hour and minute"),
        ("%{%d/%b/%Y %I:%M}t \"%r\" %s", "do not say day, hour and minute"),
        ("%{%d/%b/%Y:%T %#z}t \"%r\" %s", "do not say day, hour and minute"),
        ("%{%Q}t \"%r\" %s", "do not say day, hour and minute"),
        ("nonsense", "neither one of combined"),
        ("100%", "unknown field: %"),
        ("'$remote_addr'", "no time"),
    ] {
        let refused = text.parse::<Format>().unwrap_err().to_string();
        assert!(refused.contains(reason), "{text}: {refused}");
    }
}

#[test]
fn line_that_is_cut_off_behind_the_status_is_a_view() {
    let template = template(NGINX);
    let line = LINE.replace("FIREFOX", FIREFOX) + " more";
    let status_end = line.find(" 5 ").unwrap();
    let (start, end) = (line.find(FIREFOX).unwrap(), line.find(" more").unwrap() - 1);
    for length in 0..=line.len() {
        let read = template.parse(&line.as_bytes()[..length]);
        assert_eq!(read.is_ok(), length >= status_end, "{}", &line[..length]);
        let user_agent = line.get(start..length.min(end)).filter(|text| !text.is_empty());
        assert!(read.is_err() || read.unwrap().user_agent.as_deref() == user_agent);
        assert_eq!(template.is_complete(&line.as_bytes()[..length]), length > end, "{}", &line[..length]);
    }
}

#[test]
fn other_line_is_refused_from_the_field_on_where_it_differs() {
    for (line, field) in [
        (&LINE.replace(" - - ", " + + "), "$remote_addr"),
        (&LINE.replace("17/May", "17/Mai"), "$remote_user"),
        (&LINE.replace("] \"GET", "] GET"), "] \""),
        (&LINE.replace(" 200 ", " 2000 "), "$status"),
        (&LINE.replace(" 200 ", " OK "), "$status"),
    ] {
        let error = template(NGINX).parse(line.as_bytes()).unwrap_err();
        let LineError::Template(part) = &error else { panic!("{error}") };
        assert_eq!(part, field, "{line}");
    }
}

#[test]
fn prefixes_of_syslog_and_containers_may_stand_before() {
    let (line, mut parser) = (LINE.replace("FIREFOX", FIREFOX), Parser::new(NGINX.parse().unwrap()));
    let expected = parser.parse(line.as_bytes()).unwrap().unwrap().into_owned();
    let inside = line.replace('"', "\\\"");
    for line in [
        format!("<190>Nov 26 10:00:00 host nginx: {line}"),
        format!("web-1  | {line}"),
        format!(r#"{{"log":"{inside}\n","stream":"stdout","time":"2015-05-17T11:05:03.1Z"}}"#),
    ] {
        assert_eq!(parser.parse(line.as_bytes()), Ok(Some(expected.clone())), "{line}");
    }
}

proptest! {
    #[test]
    fn written_line_is_parsed_back(
        order in Just(["time", "request", "status", "user agent", "other"]).prop_shuffle(),
        separator in prop::sample::select(vec![" ", "|", " - ", "\t"]),
        target in "/[a-zé0-9?=&%.]{0,20}",
        status in 100..600_u16,
        seconds in 946_684_800..1_767_225_600_i64,
        user_agent in r#"[A-Za-z0-9 ./;()]{1,30}[a-z]"#,
        time in prop::sample::select(vec![("[$time_local]", "[%d/%b/%Y:%H:%M:%S %z]"), ("$time_iso8601", "%Y-%m-%dT%H:%M:%S+00:00"), ("$msec", "%s.123")]),
    ) {
        let at = DateTime::from_timestamp(seconds, 0).unwrap();
        let written = order.map(|field| match field {
            "time" => (time.0.to_owned(), at.format(time.1).to_string()),
            "request" => ("\"$request\"".to_owned(), format!("\"GET {target} HTTP/1.1\"")),
            "status" => ("$status".to_owned(), status.to_string()),
            "user agent" => ("\"$http_user_agent\"".to_owned(), format!("\"{user_agent}\"")),
            _ => ("$remote_addr".to_owned(), "192.0.2.1".to_owned()),
        });
        let [text, line] = [0, 1].map(|at| written.iter().map(|pair| if at == 0 { &*pair.0 } else { &*pair.1 }).collect::<Vec<_>>().join(separator));
        let template = template(&text);
        let read = template.parse(line.as_bytes()).unwrap();
        prop_assert_eq!((&*read.target, read.status, read.time.timestamp()), (&*target, status, seconds));
        prop_assert_eq!(read.user_agent.as_deref(), Some(user_agent.as_str()));
    }

    #[test]
    fn any_template_and_any_line_never_panic(
        text in prop::collection::vec(prop::sample::select(vec![
            "$request", "$status", "$time_local", "$msec", "$uri", "$x", "%t", "%r", "%>s", "%{%Y-%m-%d %T}t", "%{", "}", "%U%q", "'", "\"", "\\", " ", "[", "é", "$", "%",
        ]), 0..12),
        line in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let text = text.concat();
        for text in [text.as_str(), NGINX, "%t %U %s %{%Y-%m-%d %T}t"] {
            if let Ok(template) = Template::new(text) {
                for at in [0, 5, 30, 50] {
                    let line = [&LINE.as_bytes()[..at], &line, &LINE.as_bytes()[at..]].concat();
                    if let Ok(line) = template.parse(&line) {
                        prop_assert!(line.status < 1_000);
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_complete_line_says_is_not_changed_by_what_follows(length in 0..110_usize, tail in "[ -~]{0,20}") {
        let line = &LINE.as_bytes()[..length.min(LINE.len())];
        for text in [NGINX, r#"$x - $y [$time_local] "$request" $status $bytes "$ref" $agent"#] {
            let template = template(text);
            if template.is_complete(line) {
                let longer = [line, tail.as_bytes()].concat();
                prop_assert_eq!(template.parse(&longer), template.parse(line));
            }
        }
    }
}
