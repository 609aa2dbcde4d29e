//! Reads templates as nginx's and Apache's configurations have them.

use std::fmt::Write as _;

use chrono::format::{Item, Parsed, StrftimeItems, parse_and_remainder};
use chrono::{DateTime, Utc};

use super::{Field, Part, Template, TemplateError, is_text, time_of};

/// The letters of Apache's fields that do not matter, with those of its modules for TLS and traffic.
const APACHE_LETTERS: &str = "aABbcCDefhHIiklLnoOpPRSTuvVxX";

/// Reads a template in either syntax.
pub(super) fn read(text: &str) -> Result<Template, TemplateError> {
    let (content, escape) = directive(text.trim());
    let has_escapes = escape != "none";
    let make = |content: &str| {
        let parts = if is_nginx(content) { nginx_parts(content) } else { apache_parts(content)? };
        let parts = merge(parts)?;
        check(&parts)?;
        Ok(Template { text: text.to_owned(), parts, has_escapes })
    };
    match quoted_pieces(content).map(|joined| make(&joined)) {
        Some(Ok(template)) => Ok(template),
        // Without the quotes of the configuration, it may itself begin with one.
        in_quotes => make(&unescape(content)).map_err(|error| match in_quotes {
            Some(Err(error)) if content.starts_with('\'') => error,
            _ => error,
        }),
    }
}

/// Takes off the directive, its name and `escape=…`; returns the rest and the kind of escapes.
fn directive(text: &str) -> (&str, &str) {
    let mut rest = text.strip_prefix("LogFormat").unwrap_or(text).trim_start();
    if let Some(after) = rest.strip_prefix("log_format").filter(|after| after.starts_with(char::is_whitespace)) {
        let after = after.trim_start();
        rest = after.split_once(char::is_whitespace).map_or("", |(_name, rest)| rest).trim_start();
    }
    match rest.strip_prefix("escape=").and_then(|rest| rest.split_once(char::is_whitespace)) {
        Some((escape, rest)) => (rest.trim_start(), escape),
        None => (rest, "default"),
    }
}

/// Joins the quoted pieces that `text` consists of, up to a semicolon or, in Apache's directive, the format's name.
fn quoted_pieces(text: &str) -> Option<String> {
    let mut joined = String::new();
    let mut rest = text;
    loop {
        let quote = rest.chars().next().filter(|first| matches!(first, '\'' | '"'));
        let Some(quote) = quote else {
            let is_end = rest.is_empty() || rest.starts_with(';') || !rest.contains(char::is_whitespace);
            return (is_end && !joined.is_empty()).then_some(joined);
        };
        let inside = &rest[1..];
        let mut is_escaped = false;
        let end = inside.find(|letter| {
            let found = letter == quote && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            found
        })?;
        joined.push_str(&unescape(&inside[..end]));
        rest = inside[end + 1..].trim_start();
    }
}

/// Undoes the backslashes of the configuration.
fn unescape(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.clone().next()) {
            ('\\', Some(next @ ('"' | '\'' | '\\' | 't'))) => {
                unescaped.push(if next == 't' { '\t' } else { next });
                letters.next();
            }
            _ => unescaped.push(letter),
        }
    }
    unescaped
}

fn is_nginx(text: &str) -> bool {
    let mut after = text.split('$').skip(1);
    after.any(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '_' | '{')))
}

fn nginx_parts(text: &str) -> Vec<Part> {
    let mut pieces = text.split('$');
    let mut parts = vec![literal(pieces.next().unwrap_or_default())];
    for piece in pieces {
        let (name, rest) = match piece.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some(braced) => braced,
            None => {
                let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                piece.split_at(piece.find(|letter| !is_name(letter)).unwrap_or(piece.len()))
            }
        };
        let field = match name {
            "request" => Field::Request,
            "request_method" => Field::Method,
            "request_uri" | "uri" | "document_uri" => Field::Target,
            "is_args" | "args" | "query_string" => Field::Query,
            "status" => Field::Status,
            "time_local" | "time_iso8601" => Field::Time,
            "msec" => Field::UnixTime,
            "http_user_agent" => Field::UserAgent,
            _ => Field::Other,
        };
        parts.push(Part::Field(field, format!("${name}")));
        parts.push(literal(rest));
    }
    parts
}

fn apache_parts(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        parts.push(literal(&rest[..percent]));
        let field = &rest[percent..];
        let mut after = &field[1..];
        let mut argument = "";
        // Conditions and arguments stand in any order.
        loop {
            after = after.trim_start_matches(|letter: char| letter.is_ascii_digit() || "!,<>".contains(letter));
            let Some((inside, end)) = after.strip_prefix('{').and_then(|inside| inside.split_once('}')) else { break };
            (argument, after) = (inside, end);
        }
        let length = if after.starts_with('^') { 3 } else { after.chars().next().map_or(0, char::len_utf8) };
        let letter = after.get(..length).unwrap_or_default();
        rest = after.get(length..).unwrap_or_default();
        let name = &field[..field.len() - rest.len()];
        let field = match letter {
            "%" => {
                parts.push(literal("%"));
                continue;
            }
            "t" => {
                parts.extend(apache_time(argument, name)?);
                continue;
            }
            "r" => Field::Request,
            "m" => Field::Method,
            "U" => Field::Target,
            "q" => Field::Query,
            "s" => Field::Status,
            "i" if argument.eq_ignore_ascii_case("user-agent") => Field::UserAgent,
            "^ti" | "^to" | "^FU" | "^FB" => Field::Other,
            _ if letter.len() == 1 && APACHE_LETTERS.contains(letter) => Field::Other,
            _ => return Err(TemplateError::Unknown(name.to_owned())),
        };
        parts.push(Part::Field(field, name.to_owned()));
    }
    parts.push(literal(rest));
    Ok(parts)
}

/// Returns the parts of `%t`, whose brackets are not in the template, and of `%{argument}t`.
fn apache_time(argument: &str, name: &str) -> Result<Vec<Part>, TemplateError> {
    let form = argument.strip_prefix("begin:").or_else(|| argument.strip_prefix("end:")).unwrap_or(argument);
    let field = |field: Field| Part::Field(field, name.to_owned());
    Ok(match form {
        "" | "begin" | "end" => vec![literal("["), field(Field::Time), literal("]")],
        "sec" | "msec" | "usec" => vec![field(Field::UnixTime)],
        "msec_frac" | "usec_frac" => vec![field(Field::Other)],
        form => {
            let items = StrftimeItems::new(form).parse_to_owned();
            vec![field(Field::Strftime(items.map_err(|_unknown| TemplateError::TimeForm(name.to_owned()))?))]
        }
    })
}

fn literal(text: &str) -> Part {
    Part::Literal(text.as_bytes().to_vec())
}

/// Joins literals, and fields that can't be told apart and need not be.
fn merge(parts: Vec<Part>) -> Result<Vec<Part>, TemplateError> {
    let mut merged: Vec<Part> = Vec::new();
    for part in parts {
        match (merged.last_mut(), part) {
            (_, Part::Literal(text)) if text.is_empty() => {}
            (Some(Part::Literal(before)), Part::Literal(text)) => before.extend(text),
            (Some(Part::Field(Field::Target | Field::Query | Field::Other, _)), Part::Field(Field::Query, _))
            | (Some(Part::Field(Field::Other, _)), Part::Field(Field::Other, _)) => {}
            (Some(Part::Field(field, before)), Part::Field(next, name))
                if is_text(field) && !(*field == Field::Other && next == Field::Target) =>
            {
                return Err(TemplateError::Adjacent(before.clone(), name));
            }
            (_, part) => merged.push(part),
        }
    }
    Ok(merged)
}

/// Checks that the parts are enough to count page views.
fn check(parts: &[Part]) -> Result<(), TemplateError> {
    let has =
        |wanted: fn(&Field) -> bool| parts.iter().any(|part| matches!(part, Part::Field(field, _) if wanted(field)));
    if !has(|field| matches!(field, Field::Time | Field::UnixTime)) {
        check_pieces(parts)?;
    }
    if !has(|field| matches!(field, Field::Request | Field::Target)) {
        return Err(TemplateError::NoPath);
    }
    if !has(|field| *field == Field::Status) {
        return Err(TemplateError::NoStatus);
    }
    Ok(())
}

/// Checks that a time that is written in these pieces can be read again.
fn check_pieces(parts: &[Part]) -> Result<(), TemplateError> {
    let pieces: Vec<(&Vec<Item<'static>>, &String)> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Field(Field::Strftime(items), name) => Some((items, name)),
            _ => None,
        })
        .collect();
    // An afternoon, so that a form with twelve hours needs to say so.
    let time = DateTime::<Utc>::from_timestamp(1_431_874_983, 0).unwrap_or_default();
    let mut parsed = Parsed::new();
    for (items, _) in &pieces {
        let mut written = String::new();
        let is_written = write!(written, "{}", time.format_with_items(items.iter())).is_ok();
        if !is_written || parse_and_remainder(&mut parsed, &written, items.iter()).is_err() {
            break;
        }
    }
    let names: Vec<&str> = pieces.iter().map(|(_, name)| name.as_str()).collect();
    match time_of(&parsed) {
        Some(read) if (read - time).num_minutes() == 0 => Ok(()),
        _ if names.is_empty() => Err(TemplateError::NoTime),
        _ => Err(TemplateError::TimeForm(names.join(" "))),
    }
}
