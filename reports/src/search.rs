//! The search for pages by a text in their names or titles.
//!
//! Both databases turn ASCII letters, and only these, into small ones (`lower` of the collation `C`, and of SQLite). Of the
//! other letters only those that the searched text has matter: a statement replaces each of their other forms. So both find
//! the same, whatever the server's locale is, and nothing has to be stored.

use std::sync::LazyLock;

use entity::{letters::fold, page_views_report::PAGE_DATE};
use sea_orm::DbBackend;

use super::sql::Sql;

/// A text that a page's name or title has to contain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageSearch {
    /// Folded if the case is ignored.
    text: String,
    ignore_case: bool,
}

impl PageSearch {
    /// Creates a search for `text`.
    #[must_use]
    pub fn new(text: &str, ignore_case: bool) -> Self {
        let text = if ignore_case { text.chars().map(fold).collect() } else { text.to_owned() };
        Self { text, ignore_case }
    }

    /// Returns whether `text` contains what is searched for.
    pub(super) fn is_in(&self, text: &str) -> bool {
        if self.ignore_case {
            text.chars().map(fold).collect::<String>().contains(&self.text)
        } else {
            text.contains(&self.text)
        }
    }

    pub(super) fn text(&self) -> &String {
        &self.text
    }

    /// Returns the condition that the row `page` of a page is found.
    pub(super) fn finds(&self, sql: &mut Sql, page: &str) -> String {
        let text = sql.bind(self.text.as_str());
        let (mut before, mut after) = (String::new(), String::new());
        let mut only_with_other_letters = false;
        if self.ignore_case {
            (before, after) = ("lower(".to_owned(), ")".to_owned());
            let forms = other_forms(&self.text);
            only_with_other_letters = !forms.is_empty();
            if sql.backend == DbBackend::Postgres && only_with_other_letters {
                let (from, to): (String, String) = forms.into_iter().unzip();
                before.insert_str(0, "translate(");
                after += &format!(", {}, {})", sql.bind(from), sql.bind(to));
            } else {
                before.insert_str(0, &"replace(".repeat(forms.len()));
                for (from, to) in forms {
                    after += &format!(", {}, {})", sql.bind(from.to_string()), sql.bind(to.to_string()));
                }
            }
        }
        let (position, collation) = match sql.backend {
            DbBackend::Postgres => ("strpos", " COLLATE \"C\""),
            _ => ("instr", ""),
        };
        let contains = |column: String| {
            // A text of ASCII has no other letters, which is told fast.
            let first = if only_with_other_letters {
                format!("octet_length({column}) > length({column}) AND ")
            } else {
                String::new()
            };
            format!("{first}{position}({before}{column}{after}, {text}) > 0")
        };
        format!("({} OR {})", contains(format!("{page}.name")), contains(format!("{page}.title{collation}")))
    }

    /// Returns the condition that the page of the row `row` is found, which looks up the page's own row.
    pub(super) fn finds_page_of(&self, sql: &mut Sql, row: &str) -> String {
        let (date, finds) = (sql.bind(PAGE_DATE), self.finds(sql, "page"));
        format!(
            "(SELECT {finds} FROM page_views_report AS page \
             WHERE page.grain = 'page' AND page.date = {date} AND page.name = {row}.name)"
        )
    }
}

/// Returns the characters outside of ASCII that are taken for others, and these.
fn folded() -> impl Iterator<Item = (char, char)> {
    ('\u{80}'..=char::MAX).map(|character| (character, fold(character))).filter(|(from, to)| from != to)
}

/// Returns the characters outside of ASCII that are taken for one in the folded `text`, and what they are taken for.
fn other_forms(text: &str) -> Vec<(char, char)> {
    static FOLDED: LazyLock<Vec<(char, char)>> = LazyLock::new(|| folded().collect());
    // Looking through all of them takes no longer than a thousandth of a search.
    let is_in_text = |(_, to): &&(char, char)| text.contains(*to);
    if text.is_ascii() { Vec::new() } else { FOLDED.iter().filter(is_in_text).copied().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_twice_is_folding_once_and_leads_to_no_letter_of_ascii() {
        for (from, to) in folded() {
            assert_eq!((fold(to), to.is_ascii()), (to, false), "{from}");
        }
    }

    #[test]
    fn forms_of_a_letter_are_one() {
        let folded = |text: &str| PageSearch::new(text, true).text;
        for (text, same) in [("ÜBER", "über"), ("ΟΔΌΣ", "οδός"), ("НОВОСТИ", "новости"), ("Straẞe", "straße")]
        {
            assert_eq!(folded(text), folded(same));
        }
        assert_eq!(PageSearch::new("ÜBER", false).text, "ÜBER");
    }
}
