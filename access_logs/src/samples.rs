//! Logs of all servers, in the shape of their makers' documents: the format is found, and every line says what it
//! should.

use std::{fmt::Write as _, fs, path::Path};

use crate::{Parser, detect};

/// Returns what the lines of a log say, each on a line: the format first, `-` for a line that is no request.
fn read(log: &[u8]) -> String {
    let format = detect(log).unwrap().unwrap();
    let mut text = format!("{format}\n");
    let mut parser = Parser::new(format);
    for line in log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match parser.parse(line) {
            Ok(None) => text += "-\n",
            Ok(Some(line)) => {
                let method = String::from_utf8_lossy(&line.method);
                let time = line.time.format("%Y-%m-%dT%H:%M:%SZ");
                let user_agent = line.user_agent.as_deref().unwrap_or("no user agent");
                writeln!(text, "{time} {} {method} {} | {user_agent}", line.status, line.target).unwrap();
            }
            Err(error) => writeln!(text, "{error}").unwrap(),
        }
    }
    text
}

#[test]
fn every_log_says_what_is_written_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut logs = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            logs += 1;
            let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
            let log = fs::read(&path).unwrap();
            let found = read(&log);
            assert_eq!(found, expected, "{}", path.display());
            let windows = String::from_utf8(log).unwrap().replace('\n', "\r\n");
            assert_eq!(read(windows.as_bytes()), expected, "{} with CRLF", path.display());
        }
    }
    assert!(logs >= 17);
}
