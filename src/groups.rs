//! `analytics groups`: declares groups of pages, from a file in TOML, and lists them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use entity::page_group::GROUPS_PER_PAGE_MAX;
use storage::Database;
use toml::{Table, Value};
use wolf::{DeclaredGroups, DefinitionError, GroupDefinitions, declare_groups, list_groups, preview_groups};

use crate::{
    cli::{ApplyGroupsSettings, CommonSettings, GroupsCommand},
    database,
    terminal::{self, columns},
};

/// The longest file of groups, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why a file of groups is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupsRefused {
    #[error("can't read {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("{} has more than {FILE_BYTES_MAX} bytes", .0.display())]
    Long(PathBuf),
    #[error("{} is not in TOML: {reason}", .file.display())]
    Toml { file: PathBuf, reason: String },
    #[error("{}: the group {name} must be a pattern or a list of patterns, such as [\"/blog/**\"]", .file.display())]
    Patterns { file: PathBuf, name: String },
    #[error("{} has other groups than may be declared", .0.display())]
    Definitions(PathBuf, #[source] DefinitionError),
    #[error("the page {page} would be in {} groups, more than {GROUPS_PER_PAGE_MAX}: {}", .groups.len(), .groups.join(", "))]
    TooMany { page: String, groups: Vec<String> },
}

/// Runs `analytics groups`.
pub(crate) async fn groups(command: GroupsCommand) -> anyhow::Result<()> {
    match command {
        GroupsCommand::Apply(settings) => apply(settings).await,
        GroupsCommand::List(settings) => list(settings).await,
    }
}

async fn apply(settings: ApplyGroupsSettings) -> anyhow::Result<()> {
    let ApplyGroupsSettings { file, dry_run, common } = settings;
    let definitions = read(&file)?;
    let database = database::open(&common.connection.into(), false).await?;
    show_pages(&database, &definitions).await?;
    if !dry_run {
        let DeclaredGroups { added, changed, removed, unchanged } = declare_groups(&database, &definitions).await?;
        let mut done =
            format!("{added} groups are new, {changed} changed, {removed} removed, {unchanged} as they were\n");
        if added + changed + removed > 0 {
            done.push_str("the next refresh brings the report to them; until it has begun, groups are as they were\n");
        }
        terminal::print(&done);
    }
    Ok(database.close().await?)
}

/// Prints how many pages each group has. Errs if one would be in too many.
async fn show_pages(database: &Database, definitions: &GroupDefinitions) -> anyhow::Result<()> {
    let preview = preview_groups(database, definitions).await?;
    let rows: Vec<_> = preview.pages.iter().map(|(name, pages)| [name.clone(), format!("{pages} pages")]).collect();
    for line in columns(&rows) {
        terminal::print(&format!("{line}\n"));
    }
    if let Some((page, groups)) = preview.too_many {
        return Err(GroupsRefused::TooMany { page, groups }.into());
    }
    Ok(())
}

async fn list(settings: CommonSettings) -> anyhow::Result<()> {
    let database = database::open(&settings.connection.into(), false).await?;
    let groups = list_groups(&database).await?;
    let rows: Vec<_> = groups
        .into_iter()
        .map(|group| {
            let patterns: Vec<_> = group.patterns.iter().map(|pattern| format!("{pattern:?}")).collect();
            [group.name, group.pending.unwrap_or_else(|| "complete".to_owned()), patterns.join(", ")]
        })
        .collect();
    for line in columns(&rows) {
        terminal::print(&format!("{line}\n"));
    }
    Ok(database.close().await?)
}

/// Reads groups from a file.
fn read(path: &Path) -> Result<GroupDefinitions, GroupsRefused> {
    let file = || path.to_owned();
    let mut text = String::new();
    let read = File::open(path).and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let bytes = read.map_err(|error| GroupsRefused::File(file(), error))?;
    if u64::try_from(bytes).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(GroupsRefused::Long(file()));
    }
    let table: Table =
        toml::from_str(&text).map_err(|error| GroupsRefused::Toml { file: file(), reason: error.to_string() })?;
    let mut groups = BTreeMap::new();
    for (name, value) in table {
        let patterns = match value {
            Value::String(pattern) => Some(vec![pattern]),
            Value::Array(patterns) => patterns
                .into_iter()
                .map(|pattern| if let Value::String(pattern) = pattern { Some(pattern) } else { None })
                .collect(),
            _ => None,
        };
        let patterns = patterns.ok_or_else(|| GroupsRefused::Patterns { file: file(), name: name.clone() })?;
        groups.insert(name, patterns);
    }
    GroupDefinitions::new(groups).map_err(|error| GroupsRefused::Definitions(file(), error))
}
