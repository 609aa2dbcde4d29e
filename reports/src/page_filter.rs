//! The pages of a report, and the conditions of their rows.

use sea_orm::DbBackend;

use super::{search::PageSearch, sql::Sql};

/// The pages of a report.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PageFilter {
    /// All pages, the whole site.
    All,
    /// The pages with these names.
    Names(Vec<String>),
    /// The pages whose names begin with this.
    Prefix(String),
    /// The pages whose names contain this.
    Contains(String),
    /// The pages whose names or titles contain a text.
    Search(PageSearch),
}

/// The names whose rows are read.
#[derive(Copy, Clone, Debug)]
pub(super) enum Names<'a> {
    /// The site's empty name.
    Site,
    /// Names of pages.
    Of(&'a PageFilter),
}

impl PageFilter {
    /// Returns the names with the fewest rows that have the same sums.
    pub(super) fn cheapest(&self) -> Names<'_> {
        if *self == Self::All { Names::Site } else { Names::Of(self) }
    }

    /// Returns whether the page `name` with this title is one of the filter's.
    #[must_use]
    pub fn admits(&self, name: &str, title: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|one| one == name),
            Self::Prefix(prefix) => name.starts_with(prefix),
            Self::Contains(part) => name.contains(part),
            Self::Search(search) => [Some(name), title].into_iter().flatten().any(|text| search.is_in(text)),
        }
    }

    /// Returns the condition that the page of the row `row` is one of the filter's; `None` if every page is.
    pub(super) fn condition(&self, sql: &mut Sql, row: &str) -> Option<String> {
        match self {
            Self::All => None,
            Self::Names(names) => Some(sql.is_one_of(&format!("{row}.name"), names)),
            Self::Prefix(prefix) => {
                let start = format!("{row}.name >= {}", sql.bind(prefix.as_str()));
                let end = after_prefix(prefix).map(|end| format!(" AND {row}.name < {}", sql.bind(end)));
                Some(start + &end.unwrap_or_default())
            }
            Self::Contains(part) => {
                let position = if sql.backend == DbBackend::Postgres { "strpos" } else { "instr" };
                Some(format!("{position}({row}.name, {}) > 0", sql.bind(part.as_str())))
            }
            Self::Search(search) => Some(search.finds_page_of(sql, row)),
        }
    }
}

/// Returns the least name that is greater than every name that begins with `prefix`, if there is one. Names are compared
/// by their bytes, which orders UTF-8 as its code points.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The code points from D800 to DFFF are surrogates, not characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends_before_the_next_name() {
        assert_eq!(after_prefix("/a").as_deref(), Some("/b"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_prefix(""), None);
    }
}
