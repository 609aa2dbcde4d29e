//! What must hold for every line of every format.

use access_logs::{Format, LogLine, Parser};

/// What is appended to complete lines: nothing that any format takes for a separator.
const TAIL: &[u8] = b"x\"200{}%5";

/// Parses all lines of a log. Returns how many are requests.
pub fn check(format: &Format, log: &[u8]) -> usize {
    let mut parser = Parser::new(format.clone());
    let mut skipping = parser.clone();
    let mut requests = 0;
    for line in log.split(|byte| *byte == b'\n') {
        let is_complete = parser.is_complete(line);
        let before = parser.clone();
        let read = parser.parse(line).map(|line| line.map(owned));
        if let Ok(Some(line)) = &read {
            requests += 1;
            assert!(line.status < 1_000 && line.time.timestamp() >= 946_684_800);
            assert!(line.user_agent.as_deref().is_none_or(|text| !text.is_empty() && text != "-"));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let again = |text: &[u8]| before.clone().parse(text).map(|line| line.map(owned));
        assert_eq!(read, again(&[b"\0\0", line, b"\r"].concat()), "zeros and line ends are not of the line");
        if is_complete {
            assert_eq!(read, again(&[line, TAIL].concat()), "a complete line is not changed by what follows");
        }
        if let Err(error) = &read {
            assert!(error.to_string().len() < 200 + format.to_string().len() * 3, "{error}");
        }
        if parser.has_directives() {
            // A line that is skipped says the same of later ones.
            assert_eq!(read, skipping.parse(line).map(|line| line.map(owned)));
            skipping = before;
            skipping.skip(line);
        }
    }
    requests
}

fn owned(line: LogLine<'_>) -> LogLine<'static> {
    LogLine {
        method: line.method.into_owned().into(),
        target: line.target.into_owned().into(),
        status: line.status,
        time: line.time,
        user_agent: line.user_agent.map(|text| text.into_owned().into()),
    }
}
