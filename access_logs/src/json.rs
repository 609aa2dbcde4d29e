//! JSON objects, one on each line: Caddy, Traefik, nginx, Cloudflare, Envoy, Elastic's and Google's names of fields.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use memchr::memchr;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::combined;
use crate::escape::unescape_backslashes;
use crate::line::{LineError, LogLine};
use crate::text::{is_given, parse_status, split_request};
use crate::time::{read_unix, read_unix_text, read_whole};

/// What a field says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Field {
    Method,
    Target,
    /// Method, target and protocol in one.
    Request,
    Status,
    Time,
    Date,
    UserAgent,
    /// A line within the line, as Docker and journald write it.
    Message,
}

const FIELDS: usize = 8;

/// The names of fields: lower case, `-` as `_`, those of nested objects after a point. If a line has several names of a
/// field, the first one here is taken: a target as it was requested is better than a path that was rewritten.
const NAMES: [(&str, Field); 77] = [
    // Caddy.
    ("request.method", Field::Method),
    ("request.uri", Field::Target),
    ("request.headers.user_agent", Field::UserAgent),
    ("request>method", Field::Method),
    ("request>uri", Field::Target),
    ("request>headers>user_agent", Field::UserAgent),
    ("ts", Field::Time),
    // Traefik. Its `time` is that of the end of the request.
    ("requestmethod", Field::Method),
    ("requestpath", Field::Target),
    ("downstreamstatus", Field::Status),
    ("request_user_agent", Field::UserAgent),
    ("startutc", Field::Time),
    ("startlocal", Field::Time),
    // Cloudflare Logpush.
    ("clientrequestmethod", Field::Method),
    ("clientrequesturi", Field::Target),
    ("clientrequestpath", Field::Target),
    ("edgeresponsestatus", Field::Status),
    ("edgestarttimestamp", Field::Time),
    ("edgeendtimestamp", Field::Time),
    ("clientrequestuseragent", Field::UserAgent),
    // Google Cloud's load balancer.
    ("httprequest.requestmethod", Field::Method),
    ("httprequest.requesturl", Field::Target),
    ("httprequest.status", Field::Status),
    ("httprequest.useragent", Field::UserAgent),
    // Elastic Common Schema.
    ("http.request.method", Field::Method),
    ("url.original", Field::Target),
    ("url.path", Field::Target),
    ("http.response.status_code", Field::Status),
    ("user_agent.original", Field::UserAgent),
    // Azure Front Door and Application Gateway.
    ("properties.httpmethod", Field::Method),
    ("properties.requesturi", Field::Target),
    ("properties.httpstatuscode", Field::Status),
    ("properties.httpstatus", Field::Status),
    ("properties.useragent", Field::UserAgent),
    // nginx's variables, Apache, Envoy, CloudFront, and how people name them.
    ("request_method", Field::Method),
    ("cs_method", Field::Method),
    ("method", Field::Method),
    ("verb", Field::Method),
    ("http_method", Field::Method),
    ("request_uri", Field::Target),
    ("requesturi", Field::Target),
    ("request_url", Field::Target),
    ("requesturl", Field::Target),
    ("cs_uri_stem", Field::Target),
    ("x_envoy_original_path", Field::Target),
    ("request", Field::Request),
    ("request_line", Field::Request),
    ("uri", Field::Target),
    ("url", Field::Target),
    ("path", Field::Target),
    ("request_path", Field::Target),
    ("http_path", Field::Target),
    ("document_uri", Field::Target),
    ("status", Field::Status),
    ("sc_status", Field::Status),
    ("response_code", Field::Status),
    ("response_status", Field::Status),
    ("status_code", Field::Status),
    ("statuscode", Field::Status),
    ("code", Field::Status),
    ("response", Field::Status),
    ("http_user_agent", Field::UserAgent),
    ("cs(user_agent)", Field::UserAgent),
    ("user_agent", Field::UserAgent),
    ("useragent", Field::UserAgent),
    ("agent", Field::UserAgent),
    ("time_iso8601", Field::Time),
    ("time_local", Field::Time),
    ("msec", Field::Time),
    ("start_time", Field::Time),
    ("timestamp", Field::Time),
    ("@timestamp", Field::Time),
    ("time", Field::Time),
    ("datetime", Field::Time),
    ("date", Field::Date),
    ("log", Field::Message),
    ("message", Field::Message),
];

/// A value of a line.
#[derive(Clone, Debug)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(f64),
}

/// The values of a line's fields, each with the rank of its name in [`NAMES`].
#[derive(Debug, Default)]
struct Values<'a>([Option<(usize, Value<'a>)>; FIELDS]);

impl<'a> Values<'a> {
    fn add(&mut self, name: &str, value: Value<'a>) {
        let Some(rank) = NAMES.iter().position(|(known, _)| *known == name) else { return };
        let place = &mut self.0[NAMES[rank].1 as usize];
        if place.as_ref().is_none_or(|(other, _)| rank < *other) {
            *place = Some((rank, value));
        }
    }

    fn take(&mut self, field: Field) -> Option<(usize, Value<'a>)> {
        self.0[field as usize].take()
    }

    fn take_text(&mut self, field: Field) -> Option<(usize, Cow<'a, str>)> {
        match self.take(field)? {
            (rank, Value::Text(text)) => Some((rank, text)),
            (_, Value::Number(_)) => None,
        }
    }
}

/// Parses a line. Anything may stand before the object, as prefixes of syslog and of containers do.
pub(crate) fn parse(line: &[u8]) -> Result<LogLine<'_>, LineError> {
    let object = &line[memchr(b'{', line).ok_or(LineError::Json)?..];
    let text = match str::from_utf8(object) {
        Ok(text) => text,
        Err(error) => {
            let line = parse_text(&String::from_utf8_lossy(object))?.into_owned();
            let is_target = line.target.contains(char::REPLACEMENT_CHARACTER);
            return if is_target { Err(LineError::Target(error)) } else { Ok(line) };
        }
    };
    match parse_text(text) {
        // nginx without `escape=json` writes \xC3, which JSON does not know.
        Err(LineError::Json) if text.contains(r"\x") => {
            let mut line = parse_text(&text.replace(r"\x", r"\\x"))?.into_owned();
            let target = unescape_backslashes(line.target.as_bytes()).into_owned();
            line.target = Cow::from(String::from_utf8(target).map_err(|error| LineError::Target(error.utf8_error()))?);
            Ok(line)
        }
        parsed => parsed,
    }
}

/// Returns whether the line has the end of its object.
pub(crate) fn is_complete(line: &[u8]) -> bool {
    memchr(b'{', line)
        .is_some_and(|start| IgnoredAny::deserialize(&mut serde_json::Deserializer::from_slice(&line[start..])).is_ok())
}

fn parse_text(text: &str) -> Result<LogLine<'_>, LineError> {
    let mut values = Values::default();
    let walk = Walk { values: &mut values, name: &mut String::new() };
    walk.deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|_invalid| LineError::Json)?;
    let request = values.take_text(Field::Request);
    let target = values.take_text(Field::Target);
    let (method, target) = match (request, target) {
        (request, Some((rank, target))) if request.as_ref().is_none_or(|(other, _)| rank < *other) => {
            let request = request.map(|(_, request)| split(request).0);
            (values.take_text(Field::Method).map(|(_, method)| method).or(request), target)
        }
        (Some((_, request)), _) => {
            let (method, target) = split(request);
            (Some(method), target)
        }
        (None, _) => return parse_message(values, text.len()),
    };
    let status = match values.take(Field::Status) {
        Some((_, Value::Number(number))) => (100.0..1_000.0).contains(&number).then_some(number),
        Some((_, Value::Text(text))) => parse_status(text.as_bytes()).map(f64::from),
        None => None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "three digits")]
    let status = status.ok_or(LineError::Status)? as u16;
    let user_agent = values.take_text(Field::UserAgent).map(|(_, text)| text);
    LogLine {
        method: match method {
            None => Cow::from(&b"GET"[..]),
            Some(Cow::Borrowed(method)) => Cow::from(method.as_bytes()),
            Some(Cow::Owned(method)) => Cow::from(method.into_bytes()),
        },
        target,
        status,
        time: read_values_time(&mut values)?,
        user_agent: user_agent.filter(|text| is_given(text.as_bytes())),
    }
    .checked()
}

/// Parses a line within the message of an object, as containers, journald and collectors of logs write it.
fn parse_message<'a>(mut values: Values<'a>, bytes: usize) -> Result<LogLine<'a>, LineError> {
    match values.take_text(Field::Message) {
        Some((_, message)) if message.starts_with('{') && message.len() < bytes => {
            parse_text(&message).map(LogLine::into_owned)
        }
        // Other messages are no requests.
        Some((_, message)) => {
            combined::parse(message.as_bytes()).map(LogLine::into_owned).map_err(|_other| LineError::NoTarget)
        }
        None => Err(LineError::NoTarget),
    }
}

fn split(request: Cow<'_, str>) -> (Cow<'_, str>, Cow<'_, str>) {
    fn parts(request: &str) -> (&str, &str) {
        let (method, target) = split_request(request.as_bytes());
        // Both are cut at spaces.
        (str::from_utf8(method).unwrap_or_default(), str::from_utf8(target).unwrap_or_default())
    }
    match request {
        Cow::Borrowed(request) => {
            let (method, target) = parts(request);
            (Cow::from(method), Cow::from(target))
        }
        Cow::Owned(request) => {
            let (method, target) = parts(&request);
            (Cow::from(method.to_owned()), Cow::from(target.to_owned()))
        }
    }
}

fn read_values_time(values: &mut Values<'_>) -> Result<DateTime<Utc>, LineError> {
    let date = values.take_text(Field::Date).map(|(_, date)| date);
    let found = match (values.take(Field::Time), date) {
        (Some((_, Value::Number(number))), _) => read_unix(number),
        (Some((_, Value::Text(text))), date) => {
            let alone = read_whole(text.as_bytes()).or_else(|| read_unix_text(text.as_bytes()));
            alone.or_else(|| read_whole(format!("{} {text}", date?).as_bytes()))
        }
        (None, Some(date)) => read_whole(date.as_bytes()),
        (None, None) => return Err(LineError::NoTime),
    };
    found.ok_or(LineError::Time)
}

/// Walks through an object and what is nested in it, and adds the values of known names. Of a list it takes the first
/// value.
struct Walk<'v, 'a> {
    values: &'v mut Values<'a>,
    /// The name of what is read, written as in [`NAMES`].
    name: &'v mut String,
}

impl<'a> DeserializeSeed<'a> for Walk<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Walk<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let length = self.name.len();
        while map.next_key_seed(Name(self.name))?.is_some() {
            map.next_value_seed(Walk { values: self.values, name: self.name })?;
            self.name.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<(), A::Error> {
        list.next_element_seed(self)?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        self.values.add(self.name, Value::Text(Cow::from(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.values.add(self.name, Value::Text(Cow::from(text.to_owned())));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.values.add(self.name, Value::Number(number));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "nanoseconds since 1970 lose less than a microsecond")]
    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.values.add(self.name, Value::Number(number as f64));
        Ok(())
    }

    fn visit_i64<E>(self, _negative: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Appends the name of a field to that of the object that it is in.
struct Name<'v>(&'v mut String);

impl<'a> DeserializeSeed<'a> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        if !self.0.is_empty() {
            self.0.push('.');
        }
        self.0.extend(name.chars().map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0";

    fn assert_reads(line: &str, target: &str) {
        let line = line.replace("FIREFOX", FIREFOX);
        let read = parse(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        let expected = LogLine {
            method: Cow::from(&b"GET"[..]),
            target: Cow::from(target),
            status: 200,
            time: "2023-05-17T10:05:03Z".parse().unwrap(),
            user_agent: Some(Cow::from(FIREFOX)),
        };
        let time = DateTime::from_timestamp(read.time.timestamp(), 0).unwrap();
        assert_eq!(LogLine { time, ..read }, expected, "{line}");
        assert!(is_complete(line.as_bytes()) && !is_complete(&line.as_bytes()[..line.len() - 1]));
    }

    #[test]
    fn caddy_is_read() {
        assert_reads(
            r#"{"level":"info","ts":1684317903.5678,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"192.0.2.1","remote_port":"60022","proto":"HTTP/2.0","method":"GET","host":"example.com","uri":"/a?b=c","headers":{"Accept":["*/*"],"User-Agent":["FIREFOX"]},"tls":{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"example.com"}},"bytes_read":0,"user_id":"","duration":0.000123,"size":1234,"status":200,"resp_headers":{"Server":["Caddy"],"Content-Type":["text/html"]}}"#,
            "/a?b=c",
        );
        for time in [
            r#""2023-05-17T10:05:03.000Z""#,
            r#""2023/05/17 10:05:03""#,
            r#""17/May/2023:12:05:03 +0200""#,
            "1684317903000.5",
        ] {
            assert_reads(
                &format!(
                    r#"{{"ts":{time},"request":{{"method":"GET","uri":"/a","headers":{{"User-Agent":["FIREFOX"]}}}},"status":200}}"#
                ),
                "/a",
            );
        }
    }

    #[test]
    fn traefik_is_read() {
        assert_reads(
            r#"{"ClientAddr":"192.0.2.1:53188","ClientHost":"192.0.2.1","DownstreamContentSize":5,"DownstreamStatus":200,"Duration":1234567,"OriginStatus":502,"RequestAddr":"example.com","RequestContentSize":0,"RequestHost":"example.com","RequestMethod":"GET","RequestPath":"/a","RequestPort":"-","RequestProtocol":"HTTP/1.1","RouterName":"web@docker","StartLocal":"2023-05-17T12:05:03.123456789+02:00","StartUTC":"2023-05-17T10:05:03.123456789Z","entryPointName":"web","level":"info","msg":"","request_User-Agent":"FIREFOX","time":"2023-05-17T11:05:04Z"}"#,
            "/a",
        );
    }

    #[test]
    fn cloudflare_is_read() {
        for time in [r#""2023-05-17T10:05:03Z""#, "1684317903", "1684317903000000000"] {
            assert_reads(
                &format!(
                    r#"{{"ClientIP":"192.0.2.1","ClientRequestHost":"example.com","ClientRequestMethod":"GET","ClientRequestURI":"/caf%C3%A9?x","ClientRequestPath":"/other","ClientRequestUserAgent":"FIREFOX","EdgeEndTimestamp":"2023-05-17T11:05:03Z","EdgeResponseBytes":5,"EdgeResponseStatus":200,"EdgeStartTimestamp":{time},"RayID":"3f"}}"#
                ),
                "/caf%C3%A9?x",
            );
        }
    }

    #[test]
    fn usual_log_formats_of_nginx_are_read() {
        for line in [
            r#"{"time_local":"17/May/2023:10:05:03 +0000","remote_addr":"192.0.2.1","request":"GET /a?b HTTP/1.1","status":"200","body_bytes_sent":"5","request_time":"0.001","http_referrer":"","http_user_agent":"FIREFOX"}"#,
            r#"{ "time": "2023-05-17T12:05:03+02:00", "uri": "/index.php", "request_uri": "/a?b", "request_method": "GET", "status": 200, "http_user_agent": "FIREFOX" }"#,
            r#"<190>May 17 10:05:03 web nginx: {"msec":"1684317903.000","request_uri":"/a?b","status":"200","user_agent":"FIREFOX"}"#,
            r#"web-1  | {"@timestamp":"2023-05-17T10:05:03+00:00","uri":"/index.php","request":"GET /a?b HTTP/2.0","status":"200","agent":"FIREFOX"}"#,
            r#"{"_HOSTNAME":"web","MESSAGE":"h - - [17/May/2023:10:05:03 +0000] \"GET /a?b HTTP/1.1\" 200 5 \"-\" \"FIREFOX\""}"#,
            r#"{"log":"{\"ts\":1684317903,\"request\":\"GET /a?b HTTP/2.0\",\"status\":\"200\",\"agent\":\"FIREFOX\"}\n","stream":"stdout","time":"2023-05-17T11:05:03.1Z"}"#,
        ] {
            assert_reads(line, "/a?b");
        }
    }

    #[test]
    fn names_of_clouds_are_read() {
        for line in [
            r#"{"httpRequest":{"latency":"0.1s","remoteIp":"192.0.2.1","requestMethod":"GET","requestUrl":"https://example.com/a","status":200,"userAgent":"FIREFOX"},"receiveTimestamp":"2023-05-17T11:05:04Z","timestamp":"2023-05-17T10:05:03.5Z"}"#,
            r#"{"@timestamp":"2023-05-17T10:05:03.000Z","http":{"request":{"method":"GET"},"response":{"status_code":200}},"url":{"original":"https://example.com/a"},"user_agent":{"original":"FIREFOX"}}"#,
            r#"{"@timestamp":"2023-05-17T10:05:03.000Z","http.request.method":"GET","http.response.status_code":200,"url.original":"https://example.com/a","user_agent.original":"FIREFOX"}"#,
            r#"{"time":"2023-05-17T10:05:03Z","properties":{"httpMethod":"GET","requestUri":"https://example.com/a","httpStatusCode":"200","userAgent":"FIREFOX"}}"#,
            r#"{"date":"2023-05-17","time":"10:05:03","cs-method":"GET","cs-uri-stem":"https://example.com/a","sc-status":"200","cs(User-Agent)":"FIREFOX"}"#,
            r#"{"authority":"e","method":"GET","path":"https://example.com/a","response_code":200,"start_time":"2023-05-17T10:05:03.123Z","user_agent":"FIREFOX"}"#,
        ] {
            assert_reads(line, "https://example.com/a");
        }
    }

    #[test]
    fn escapes_are_undone() {
        let line = |target: &str| {
            format!(r#"{{"time":1684317903,"request":"GET {target} HTTP/1.1","status":200,"user_agent":"a \"b\""}}"#)
        };
        for (target, expected) in
            [(r#"/a\"b\u00e9\/"#, "/a\"b\u{e9}/"), (r"/\xC3\xA9\x22", "/\u{e9}\""), ("/\u{e9}", "/\u{e9}")]
        {
            let line = line(target);
            let read = parse(line.as_bytes()).unwrap();
            assert_eq!((&*read.target, read.user_agent.as_deref()), (expected, Some(r#"a "b""#)), "{target}");
        }
        assert!(matches!(parse(line(r"/\xE9").as_bytes()), Err(LineError::Target(_))));
        let latin_1 =
            |text: &str| text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect::<Vec<_>>();
        assert!(matches!(parse(&latin_1(&line("/\u{e9}"))), Err(LineError::Target(_))));
        assert_eq!(parse(&latin_1(&line("/a").replace('b', "\u{e9}"))).unwrap().target, "/a");
    }

    #[test]
    fn error_names_what_is_missing() {
        for (line, error) in [
            ("", LineError::Json),
            ("x", LineError::Json),
            (r#"{"time":1684317903,"uri":"/a","#, LineError::Json),
            (r#"{"level":"info","ts":1684317903.5,"msg":"server running"}"#, LineError::NoTarget),
            (r#"{"log":"GET /a","status":200}"#, LineError::NoTarget),
            (r#"{"uri":"/a","status":200}"#, LineError::NoTime),
            (r#"{"time":"yesterday","uri":"/a","status":200}"#, LineError::Time),
            (r#"{"time":5,"uri":"/a","status":200}"#, LineError::TooEarly),
            (r#"{"time":1684317903,"uri":"/a"}"#, LineError::Status),
            (r#"{"time":1684317903,"uri":"/a","status":2000}"#, LineError::Status),
            (r#"{"time":1684317903,"uri":"/a","status":"OK"}"#, LineError::Status),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(error), "{line}");
        }
    }
}
