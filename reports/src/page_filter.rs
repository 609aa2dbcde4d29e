//! The pages of a report, and the conditions of their rows.

use std::{mem::size_of, slice, sync::Arc};

use sea_orm::DbBackend;

use super::{groups, search::PageSearch, sql::Sql};

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
    /// The pages of a declared group.
    Group(String),
    /// The pages of any of several filters.
    AnyOf(Union),
    /// The pages of the first filter without those of the second.
    Except(Arc<PageFilter>, Arc<PageFilter>),
}

/// Several filters, none of whose names and prefixes lies in another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Union {
    names: Vec<String>,
    prefixes: Vec<String>,
    others: Vec<PageFilter>,
}

/// The names whose rows are read.
#[derive(Copy, Clone, Debug)]
pub(super) enum Names<'a> {
    /// The site's empty name.
    Site,
    /// The name of a group, whose rows have a grain of their own.
    Group(&'a str),
    /// Names of pages.
    Of(&'a PageFilter),
}

/// What the rows of a filter's pages are looked up by: names, and beginnings of names. No page has two of them.
#[derive(Copy, Clone, Debug)]
pub(super) struct Keys<'a> {
    pub(super) names: &'a [String],
    pub(super) prefixes: &'a [String],
}

impl PageFilter {
    /// Returns the filter for the pages that one of `any` has, or all pages without it, and none of `not`.
    #[must_use]
    pub fn combined(any: Option<Vec<Self>>, not: Vec<Self>) -> Self {
        let any = any.map_or(Self::All, Self::any_of);
        if not.is_empty() { any } else { any.without(Self::any_of(not)) }
    }

    fn any_of(filters: Vec<Self>) -> Self {
        let (mut names, mut prefixes, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for filter in filters {
            match filter {
                Self::Names(more) => names.extend(more),
                Self::Prefix(prefix) if after_prefix(&prefix).is_some() => prefixes.push(prefix),
                other => others.push(other),
            }
        }
        // What begins with a prefix comes right behind it.
        prefixes.sort_unstable();
        prefixes.dedup_by(|prefix, before| prefix.starts_with(before.as_str()));
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !prefixes.iter().any(|prefix| name.starts_with(prefix)));
        match (names.is_empty(), prefixes.len(), others.len()) {
            (_, 0, 0) => Self::Names(names),
            (true, 1, 0) => Self::Prefix(prefixes.swap_remove(0)),
            (true, 0, 1) => others.swap_remove(0),
            _ => Self::AnyOf(Union { names, prefixes, others }),
        }
    }

    fn without(self, left_out: Self) -> Self {
        match self {
            Self::Names(mut names) if !left_out.has_search() && left_out.groups().is_empty() => {
                names.retain(|name| !left_out.admits(name, None, &[]));
                Self::Names(names)
            }
            kept => Self::Except(Arc::new(kept), Arc::new(left_out)),
        }
    }

    /// Returns the names with the fewest rows that have the same sums.
    pub(super) fn cheapest(&self) -> Names<'_> {
        match self {
            Self::All => Names::Site,
            Self::Group(group) => Names::Group(group),
            _ => Names::Of(self),
        }
    }

    /// Returns two filters of which the sums of the second, if there is one, are subtracted from those of the first: of all
    /// pages but some only these have to be read.
    pub(super) fn difference(&self) -> (&Self, Option<&Self>) {
        match self {
            Self::Except(kept, left_out) if **kept == Self::All => (kept, Some(left_out)),
            filter => (filter, None),
        }
    }

    /// Returns the names of the declared groups that it has.
    pub(super) fn groups(&self) -> Vec<&str> {
        match self {
            Self::Group(group) => vec![group],
            Self::AnyOf(union) => union.others.iter().flat_map(Self::groups).collect(),
            Self::Except(kept, left_out) => [kept.groups(), left_out.groups()].concat(),
            _ => Vec::new(),
        }
    }

    /// Returns whether the page `name` with this title, which is in `groups`, is one of the filter's.
    pub(super) fn admits(&self, name: &str, title: Option<&str>, groups: &[String]) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|one| one == name),
            Self::Prefix(prefix) => name.starts_with(prefix),
            Self::Contains(part) => name.contains(part),
            Self::Search(search) => [Some(name), title].into_iter().flatten().any(|text| search.is_in(text)),
            Self::Group(group) => groups.contains(group),
            Self::AnyOf(Union { names, prefixes, others }) => {
                names.iter().any(|one| one == name)
                    || prefixes.iter().any(|prefix| name.starts_with(prefix))
                    || others.iter().any(|filter| filter.admits(name, title, groups))
            }
            Self::Except(kept, left_out) => kept.admits(name, title, groups) && !left_out.admits(name, title, groups),
        }
    }

    /// Returns whether titles are searched.
    pub(super) fn has_search(&self) -> bool {
        self.has(&|filter| matches!(filter, Self::Search(_)))
    }

    /// Returns whether `is_one` is true of the filter or of one that it consists of.
    fn has(&self, is_one: &dyn Fn(&Self) -> bool) -> bool {
        let has_part = match self {
            Self::AnyOf(union) => union.others.iter().any(|filter| filter.has(is_one)),
            Self::Except(kept, left_out) => kept.has(is_one) || left_out.has(is_one),
            _ => false,
        };
        has_part || is_one(self)
    }

    /// Returns the filter whose pages have to be looked for, if any have: those of this filter, or those that it leaves out
    /// of all pages. For sums of views, those of a group need not be: it has rows of its own.
    pub(super) fn sought(&self, for_sums: bool) -> Option<&Self> {
        let (kept, left_out) = self.difference();
        let sought = left_out.unwrap_or(kept);
        let is_sought = |filter: &Self| match filter {
            Self::Contains(_) | Self::Search(_) => true,
            Self::Group(_) => !for_sums || *filter != *sought,
            _ => false,
        };
        sought.has(&is_sought).then_some(sought)
    }

    /// Returns the same filter, with the names of the pages that were [sought](Self::sought).
    pub(super) fn with_found(&self, names: &Arc<Self>) -> Arc<Self> {
        match self.difference() {
            (kept, Some(_)) => Arc::new(kept.clone().without(names.as_ref().clone())),
            _ => Arc::clone(names),
        }
    }

    /// Returns what the rows of the filter's pages are looked up by, if that finds them. [`left_out`](Self::left_out) tells
    /// which of these are not the filter's.
    pub(super) fn keys(&self) -> Option<Keys<'_>> {
        match self {
            Self::Names(names) => Some(Keys { names, prefixes: &[] }),
            Self::Prefix(prefix) => Some(Keys { names: &[], prefixes: slice::from_ref(prefix) }),
            Self::AnyOf(Union { names, prefixes, others }) if others.is_empty() => Some(Keys { names, prefixes }),
            Self::Except(kept, _) => kept.keys(),
            _ => None,
        }
    }

    /// Returns the condition that the page of the row `row` is not left out of the pages that the [keys](Self::keys) find.
    pub(super) fn left_out(&self, sql: &mut Sql, row: &str) -> Option<String> {
        let Self::Except(kept, left_out) = self else { return None };
        let further = kept.left_out(sql, row);
        join(" AND ", [further, left_out.is_not(sql, row, RowOf::Any)])
    }

    /// Returns the condition that the page of the row `row` is one of the filter's; `None` if every page is.
    pub(super) fn condition(&self, sql: &mut Sql, row: &str) -> Option<String> {
        self.is(sql, row, RowOf::Any)
    }

    /// Returns the condition that `page`, the page's own row, is of one of the filter's; `None` if every page is.
    pub(super) fn condition_of_page(&self, sql: &mut Sql, page: &str) -> Option<String> {
        self.is(sql, page, RowOf::Page)
    }

    fn is(&self, sql: &mut Sql, row: &str, of: RowOf) -> Option<String> {
        match self {
            Self::All => None,
            Self::Names(names) => Some(sql.is_one_of(&format!("{row}.name"), names)),
            Self::Prefix(prefix) => Some(begins_with(sql, row, prefix)),
            Self::Contains(part) => {
                let position = if sql.backend == DbBackend::Postgres { "strpos" } else { "instr" };
                Some(format!("{position}({row}.name, {}) > 0", sql.bind(part.as_str())))
            }
            Self::Search(search) => Some(match of {
                RowOf::Page => search.finds(sql, row),
                RowOf::Any => search.finds_page_of(sql, row),
            }),
            Self::Group(group) => Some(groups::has_page_of(sql, row, group)),
            Self::AnyOf(Union { names, prefixes, others }) => {
                let mut any: Vec<_> = prefixes.iter().map(|prefix| begins_with(sql, row, prefix)).collect();
                if !names.is_empty() {
                    any.push(sql.is_one_of(&format!("{row}.name"), names));
                }
                for filter in others {
                    any.push(filter.is(sql, row, of)?);
                }
                Some(format!("({})", any.join(" OR ")))
            }
            Self::Except(kept, left_out) => {
                let kept = kept.is(sql, row, of);
                join(" AND ", [kept, left_out.is_not(sql, row, of)])
            }
        }
    }

    /// Returns the condition that the page of the row `row` is none of the filter's. The title of a page may be null.
    fn is_not(&self, sql: &mut Sql, row: &str, of: RowOf) -> Option<String> {
        let is = self.is(sql, row, of).unwrap_or_else(|| "TRUE".to_owned());
        Some(format!("({is}) IS NOT TRUE"))
    }

    /// The memory that it takes, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        let text = |text: &String| size_of::<String>() + text.capacity();
        let texts = |texts: &[String]| texts.iter().map(text).sum::<usize>();
        let more = match self {
            Self::All => 0,
            Self::Names(names) => texts(names),
            Self::Prefix(part) | Self::Contains(part) | Self::Group(part) => text(part),
            Self::Search(search) => text(search.text()),
            Self::AnyOf(Union { names, prefixes, others }) => {
                texts(names) + texts(prefixes) + others.iter().map(Self::bytes).sum::<usize>()
            }
            Self::Except(kept, left_out) => kept.bytes() + left_out.bytes(),
        };
        size_of::<Self>() + more
    }
}

/// Whose row a condition is about.
#[derive(Copy, Clone, Debug)]
enum RowOf {
    /// A page's own row, which has its title.
    Page,
    /// Any row of a page.
    Any,
}

/// Joins the conditions that there are.
fn join(by: &str, conditions: [Option<String>; 2]) -> Option<String> {
    let conditions: Vec<_> = conditions.into_iter().flatten().collect();
    (!conditions.is_empty()).then(|| conditions.join(by))
}

/// Returns the condition that the name of the row `row` begins with `prefix`.
pub(super) fn begins_with(sql: &mut Sql, row: &str, prefix: &str) -> String {
    let start = format!("{row}.name >= {}", sql.bind(prefix));
    let end = after_prefix(prefix).map(|end| format!(" AND {row}.name < {}", sql.bind(end)));
    start + &end.unwrap_or_default()
}

/// Returns the least name that is greater than every name that begins with `prefix`, if there is one. Names are compared
/// by their bytes, which orders UTF-8 as its code points.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
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

    fn names<const N: usize>(names: [&str; N]) -> PageFilter {
        PageFilter::Names(names.map(str::to_owned).to_vec())
    }

    fn prefix(prefix: &str) -> PageFilter {
        PageFilter::Prefix(prefix.to_owned())
    }

    #[test]
    fn names_and_prefixes_of_a_union_are_disjoint() {
        let any = vec![prefix("/b"), names(["/x", "/a/1", "/b"]), prefix("/a/"), prefix("/a/b"), names(["/x", "/ab"])];
        let union = PageFilter::combined(Some(any), vec![]);
        let Keys { names, prefixes } = union.keys().unwrap();
        assert_eq!(
            (names, prefixes),
            (["/ab", "/x"].map(str::to_owned).as_slice(), ["/a/", "/b"].map(str::to_owned).as_slice())
        );
    }

    #[test]
    fn combination_that_a_plainer_filter_equals_is_that_filter() {
        let some = |filters: Vec<PageFilter>| PageFilter::combined(Some(filters), vec![]);
        assert_eq!(some(vec![names(["/b"]), names(["/a", "/b"])]), names(["/a", "/b"]));
        assert_eq!(some(vec![prefix("/a/b"), names(["/a/c"]), prefix("/a")]), prefix("/a"));
        assert_eq!(PageFilter::combined(None, vec![]), PageFilter::All);
        let without = PageFilter::combined(Some(vec![names(["/a", "/b/1"])]), vec![prefix("/b"), names(["/c"])]);
        assert_eq!(without, names(["/a"]));
        // The last of all names has none behind it: the prefix is no range.
        assert!(some(vec![prefix("\u{10ffff}"), names(["/a"])]).keys().is_none());
    }

    #[test]
    fn title_is_searched_before_a_page_is_left_out() {
        let search = PageFilter::Search(PageSearch::new("draft", true));
        let filter = PageFilter::combined(Some(vec![names(["/a"])]), vec![search]);
        assert!(filter.admits("/a", None, &[]) && filter.admits("/a", Some("news"), &[]));
        assert!(!filter.admits("/a", Some("A Draft"), &[]) && !filter.admits("/b", None, &[]));
    }
}
