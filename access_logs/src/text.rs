//! Words and quoted fields of a line.

use memchr::{memchr, memchr_iter};

/// A quoted field.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Quoted<'a> {
    /// The text between the quotes, with its escapes.
    pub inside: &'a [u8],
    /// The text after the closing quote; empty if there is none.
    pub rest: &'a [u8],
    /// Whether there is a closing quote. Without one the line was cut off.
    pub is_closed: bool,
}

/// Finds the next quoted field of `text`. Its quote is the first one that begins a word, so that neither escaped quotes
/// nor those within words (`key="value"`) open a field.
pub(crate) fn next_quoted(text: &[u8]) -> Option<Quoted<'_>> {
    let opening = opening_quote(text, 0)?;
    Some(quoted(&text[opening + 1..]))
}

/// Returns the field whose opening quote stands just before `inside`.
pub(crate) fn quoted(inside: &[u8]) -> Quoted<'_> {
    match closing_quote(inside) {
        Some(closing) => Quoted { inside: &inside[..closing], rest: &inside[closing + 1..], is_closed: true },
        None => Quoted { inside, rest: b"", is_closed: false },
    }
}

/// Returns the position of the first quote at or after `from` that begins a word.
pub(crate) fn opening_quote(text: &[u8], from: usize) -> Option<usize> {
    let mut quotes = memchr_iter(b'"', &text[from..]).map(|at| from + at);
    quotes.find(|&at| at == 0 || text[at - 1].is_ascii_whitespace())
}

/// Returns the position of the first quote that is not escaped by a backslash.
pub(crate) fn closing_quote(text: &[u8]) -> Option<usize> {
    memchr_iter(b'"', text).find(|&at| !is_escaped(text, at))
}

/// Returns whether an odd number of backslashes stands before `at`.
pub(crate) fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// Returns the first word of `text`, which may be empty, and the text after it.
pub(crate) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = memchr(b' ', text).unwrap_or(text.len());
    // Spaces are found fast, and other white space is rare.
    let end = text[..end].iter().position(u8::is_ascii_whitespace).unwrap_or(end);
    text.split_at(end)
}

/// Parses a status: three digits.
pub(crate) fn parse_status(word: &[u8]) -> Option<u16> {
    let is_status = word.len() == 3 && word.iter().all(u8::is_ascii_digit);
    is_status.then(|| word.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

/// Splits a request such as `GET /a HTTP/1.1` into method and target. A request of HTTP/0.9 has no protocol at the end,
/// and the target of a broken client may have spaces.
pub(crate) fn split_request(request: &[u8]) -> (&[u8], &[u8]) {
    let (method, rest) = split_word(request);
    let rest = rest.trim_ascii();
    match memchr::memrchr(b' ', rest) {
        Some(space) if rest[space + 1..].starts_with(b"HTTP/") => (method, rest[..space].trim_ascii_end()),
        None if rest.starts_with(b"HTTP/") => (method, b""),
        _ => (method, rest),
    }
}

/// Returns whether a field has something to say: it is neither empty nor `-`.
pub(crate) fn is_given(field: &[u8]) -> bool {
    !matches!(field, b"" | b"-")
}

/// Returns whether a text begins like most user agents, with a product and its version (`Mozilla/5.0`), and not like a
/// URL, a protocol or a date.
pub(crate) fn begins_with_product(text: &[u8]) -> bool {
    let Some(slash) = memchr(b'/', text) else { return false };
    let is_name = slash > 0 && text[slash - 1].is_ascii_alphabetic();
    is_name && text.get(slash + 1).is_some_and(u8::is_ascii_digit) && !text.starts_with(b"HTTP/")
}

/// Returns whether a text is a URL with a scheme, as referrers are.
pub(crate) fn is_url(text: &[u8]) -> bool {
    let end = text.iter().position(|&byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)));
    end.is_some_and(|end| end > 0 && text[end..].starts_with(b"://"))
}
