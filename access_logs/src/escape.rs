//! Undoes the escapes with which servers write bytes.

use std::borrow::Cow;

use memchr::memchr;

/// Returns the two hexadecimal digits that `text` begins with as a byte.
fn hex_byte(text: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(text.first()?)? * 16 + digit(text.get(1)?)?)
}

/// Undoes the escapes of nginx (`\xC3`, in JSON also `\u001F`) and Apache (`\xc3`, `\"`, `\\`, `\t` …).
pub(crate) fn unescape_backslashes(text: &[u8]) -> Cow<'_, [u8]> {
    replace(text, b'\\', |rest| match rest.first()? {
        b'x' => hex_byte(&rest[1..]).map(|byte| (byte, 3)),
        b'u' if rest[1..].starts_with(b"00") => hex_byte(&rest[3..]).filter(u8::is_ascii).map(|byte| (byte, 5)),
        b'n' => Some((b'\n', 1)),
        b't' => Some((b'\t', 1)),
        b'r' => Some((b'\r', 1)),
        b'b' => Some((8, 1)),
        b'f' => Some((12, 1)),
        b'v' => Some((11, 1)),
        byte @ (b'"' | b'\\' | b'/' | b'\'') => Some((*byte, 1)),
        _ => None,
    })
}

/// Undoes the escapes of HAProxy (`#C3`).
pub(crate) fn unescape_hashes(text: &[u8]) -> Cow<'_, [u8]> {
    replace(text, b'#', |rest| hex_byte(rest).map(|byte| (byte, 2)))
}

/// Undoes percent-encoding.
pub(crate) fn unescape_percents(text: &[u8]) -> Cow<'_, [u8]> {
    replace(text, b'%', |rest| hex_byte(rest).map(|byte| (byte, 2)))
}

/// Replaces each escape: `mark`, and what follows it, by the byte that `read` makes of what follows; with the byte it
/// returns how many bytes it read. A mark that begins no escape stays.
fn replace(text: &[u8], mark: u8, read: impl Fn(&[u8]) -> Option<(u8, usize)>) -> Cow<'_, [u8]> {
    let Some(mut next) = memchr(mark, text) else { return Cow::from(text) };
    let mut unescaped = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        unescaped.extend_from_slice(&rest[..next]);
        let (byte, length) = read(&rest[next + 1..]).unwrap_or((mark, 0));
        unescaped.push(byte);
        rest = &rest[next + 1 + length..];
        match memchr(mark, rest) {
            Some(found) => next = found,
            None => break,
        }
    }
    unescaped.extend_from_slice(rest);
    Cow::from(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_their_bytes() {
        for (text, expected) in [
            (&br"/caf\xC3\xA9"[..], "/caf\u{e9}"),
            (br"/caf\xc3\xa9\", "/caf\u{e9}\\"),
            (br#"/\"a\\x41\/"#, r#"/"a\x41/"#),
            (br"/a\tb\u001fc", "/a\tb\u{1f}c"),
            (br"/\x4\xzz\u0141\u00e9\q", r"/\x4\xzz\u0141\u00e9\q"),
            (b"/a", "/a"),
            (b"", ""),
        ] {
            assert_eq!(unescape_backslashes(text), expected.as_bytes(), "{expected}");
        }
        assert_eq!(unescape_hashes(b"/a#22#C3#A9#zz#"), "/a\"\u{e9}#zz#".as_bytes());
        assert_eq!(unescape_percents(b"a%2520b%"), &b"a%20b%"[..]);
        assert!(matches!(unescape_backslashes(b"/a"), Cow::Borrowed(_)));
    }
}
