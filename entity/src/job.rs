//! `jobs`: changes of what was counted, which the Wolf makes in the order of their ids.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::letters::fold;

/// One change of what was counted.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    /// The place in the order of jobs.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// What kind of change it is.
    pub kind: Kind,
    /// The [`Task`] as JSON; null once the job has ended, so that a name that was removed is nowhere.
    pub task: Option<String>,
    /// Why it was asked for, in the words of who did.
    pub reason: Option<String>,
    /// The SHA-256 of the idempotency key and its client.
    pub key_digest: Option<Vec<u8>>,
    /// How far the job is.
    pub status: Status,
    /// When it was asked for, by the database's clock.
    pub requested_at: DateTimeUtc,
    /// When it ended, by the database's clock.
    pub finished_at: Option<DateTimeUtc>,
    /// The number of pages that it has changed so far.
    pub pages: i64,
    /// The number of views that it has moved, added or taken away so far; of a correction that takes views away negative.
    pub views: i64,
    /// Why it was refused.
    pub error: Option<String>,
}

/// The table has no declared relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A kind of job.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Kind {
    /// A page gets another name, or its views move to another page.
    #[sea_orm(string_value = "rename_page")]
    RenamePage,
    /// Views of pages or of a time are removed.
    #[sea_orm(string_value = "remove_views")]
    RemoveViews,
    /// Views of a page in one hour are added or taken away.
    #[sea_orm(string_value = "correct_views")]
    CorrectViews,
    /// What an import has counted is taken back.
    #[sea_orm(string_value = "undo_import")]
    UndoImport,
}

/// How far a job is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Status {
    /// It waits for the next refresh.
    #[sea_orm(string_value = "queued")]
    Queued,
    /// A refresh has begun it.
    #[sea_orm(string_value = "running")]
    Running,
    /// All of it is done, and in the report.
    #[sea_orm(string_value = "done")]
    Done,
    /// It could not be done: nothing was changed.
    #[sea_orm(string_value = "refused")]
    Refused,
}

/// What a job has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Moves all views of `from`, and its title if `to` has none, to `to`.
    RenamePage {
        /// The page's name.
        from: String,
        /// The name that it gets, or the page that its views are added to.
        to: String,
        /// Whether later views of `from` count for `to`, too.
        keep_alias: bool,
    },
    /// Removes views: of `pages`, or of all, from `start` on and before `end`, where these are given. A page that has no views
    /// then is removed with its title.
    RemoveViews {
        /// The pages; all if it is left out.
        pages: Option<PageSelection>,
        /// The first hour.
        start: Option<DateTime<Utc>>,
        /// The first hour that is kept again.
        end: Option<DateTime<Utc>>,
    },
    /// Adds views to a page in one hour, or takes them away.
    CorrectViews {
        /// The page's name.
        page: String,
        /// The hour's beginning.
        hour: DateTime<Utc>,
        /// How many; below zero to take them away.
        views: i64,
    },
    /// Takes back what an import has counted.
    UndoImport {
        /// The import's id.
        import: i64,
    },
}

impl Task {
    /// Returns the kind of the task.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::RenamePage { .. } => Kind::RenamePage,
            Self::RemoveViews { .. } => Kind::RemoveViews,
            Self::CorrectViews { .. } => Kind::CorrectViews,
            Self::UndoImport { .. } => Kind::UndoImport,
        }
    }
}

/// Pages to select: as by the filter of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageSelection {
    /// The pages with these names.
    Names(Vec<String>),
    /// The pages whose names begin with this.
    Prefix(String),
    /// The pages whose names contain this.
    Contains(String),
    /// The pages whose names or titles contain a text.
    Search {
        /// The text.
        text: String,
        /// Whether capital and small letters are the same.
        ignore_case: bool,
    },
    /// The pages that one of some selections has and none of others.
    Combined {
        /// The selections whose pages these are; all pages without it.
        any: Option<Vec<PageSelection>>,
        /// The selections whose pages are left out.
        not: Vec<PageSelection>,
    },
}

impl PageSelection {
    /// Returns whether titles are searched.
    #[must_use]
    pub fn has_search(&self) -> bool {
        matches!(self, Self::Search { .. }) || self.parts().any(Self::has_search)
    }

    /// Returns all names that are given.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Names(names) => names.iter().map(String::as_str).collect(),
            selection => selection.parts().flat_map(Self::names).collect(),
        }
    }

    /// Returns the selections that this one combines.
    fn parts(&self) -> impl Iterator<Item = &Self> {
        let (any, not) = match self {
            Self::Combined { any, not } => (any.as_deref().unwrap_or_default(), not.as_slice()),
            _ => Default::default(),
        };
        any.iter().chain(not)
    }

    /// Returns whether the page `name` with this title is selected.
    #[must_use]
    pub fn admits(&self, name: &str, title: Option<&str>) -> bool {
        match self {
            Self::Names(names) => names.iter().any(|one| one == name),
            Self::Prefix(prefix) => name.starts_with(prefix),
            Self::Contains(part) => name.contains(part),
            Self::Search { text, ignore_case: false } => {
                [Some(name), title].into_iter().flatten().any(|of| of.contains(text))
            }
            Self::Search { text, ignore_case: true } => {
                let folded = |text: &str| text.chars().map(fold).collect::<String>();
                let searched = folded(text);
                [Some(name), title].into_iter().flatten().any(|of| folded(of).contains(&searched))
            }
            Self::Combined { any, not } => {
                let admit = |selections: &[Self]| selections.iter().any(|selection| selection.admits(name, title));
                any.as_deref().is_none_or(admit) && !admit(not)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages that begin with `/a` or contain `b`, but not `/a/b`, nor those with a draft's title.
    fn combined() -> PageSelection {
        let any = vec![PageSelection::Prefix("/a".to_owned()), PageSelection::Contains("b".to_owned())];
        let draft = PageSelection::Search { text: "draft".to_owned(), ignore_case: true };
        PageSelection::Combined { any: Some(any), not: vec![PageSelection::Names(vec!["/a/b".to_owned()]), draft] }
    }

    #[test]
    fn task_is_read_back_from_its_json() {
        let start = Some(DateTime::UNIX_EPOCH);
        for task in [
            Task::RenamePage { from: "/a".to_owned(), to: "/b".to_owned(), keep_alias: true },
            Task::RemoveViews { pages: Some(PageSelection::Names(vec!["/a".to_owned()])), start, end: None },
            Task::RemoveViews { pages: Some(combined()), start: None, end: None },
            Task::CorrectViews { page: "/a".to_owned(), hour: DateTime::UNIX_EPOCH, views: -3 },
            Task::UndoImport { import: i64::MAX },
        ] {
            let json = serde_json::to_string(&task).unwrap();
            assert_eq!(serde_json::from_str::<Task>(&json).unwrap(), task, "{json}");
        }
    }

    #[test]
    fn selection_admits_what_the_filter_of_a_report_finds() {
        let search = |ignore_case| PageSelection::Search { text: "ÜBER".to_owned(), ignore_case };
        assert!(search(true).admits("/x", Some("Das über-ich")));
        assert!(!search(false).admits("/x", Some("Das über-ich")));
        assert!(PageSelection::Prefix("/a".to_owned()).admits("/ab", None));
        assert!(!PageSelection::Contains("b".to_owned()).admits("/a", Some("b")), "names only");
        let combined = combined();
        assert_eq!((combined.has_search(), combined.names()), (true, vec!["/a/b"]));
        assert!(combined.admits("/a/c", None) && combined.admits("/b", Some("news")));
        assert!(
            !combined.admits("/a/b", None) && !combined.admits("/b", Some("Draft")) && !combined.admits("/c", None)
        );
        let all_but = PageSelection::Combined { any: None, not: vec![PageSelection::Prefix("/a".to_owned())] };
        assert!(all_but.admits("/b", None) && !all_but.admits("/a", None));
    }
}
