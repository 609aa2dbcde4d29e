//! Cells that begin like a formula, which spreadsheets would compute.
//!
//! Such a cell gets an apostrophe in front (OWASP, "CSV Injection"). So does a cell that begins with an apostrophe, so that
//! the first one can be taken away again without a doubt.

use std::borrow::Cow;

/// What is put in front.
const GUARD: char = '\'';
/// The characters that a formula may begin with: those of ASCII, and their full-width forms, which some spreadsheets take for
/// the same.
const BEGINNINGS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// Returns whether a cell with this text is written with a guard.
fn is_guarded(text: &str) -> bool {
    text.starts_with(BEGINNINGS) || text.starts_with(GUARD)
}

/// Returns the text as it is written into a cell.
pub(crate) fn guarded(text: &str) -> Cow<'_, str> {
    if is_guarded(text) { Cow::Owned(format!("{GUARD}{text}")) } else { Cow::Borrowed(text) }
}

/// Returns the text that was written into a cell.
pub(crate) fn unguarded(cell: &str) -> &str {
    cell.strip_prefix(GUARD).filter(|text| is_guarded(text)).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formulas_are_guarded_and_other_cells_are_not() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("＝1", "'＝1"),
            ("'=1", "''=1"),
            ("'quoted'", "''quoted'"),
            ("''", "'''"),
            ("/a=1", "/a=1"),
            ("", ""),
        ] {
            assert_eq!((guarded(text).as_ref(), unguarded(cell)), (cell, text));
        }
        // Not written by this program: nothing was put in front.
        assert_eq!(unguarded("'tis"), "'tis");
    }

    proptest! {
        #[test]
        fn guard_is_taken_away_again(text in "['=+@a-]{0,4}") {
            let cell = guarded(&text);
            prop_assert_eq!(unguarded(&cell), text.as_str());
            prop_assert!(!cell.starts_with(BEGINNINGS));
        }
    }
}
