//! The settings of the commands that declare groups of pages.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CommonSettings, examples};

#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// Declare the groups of a file in place of all that are declared
    #[command(after_long_help = examples::GROUPS_APPLY)]
    Apply(ApplyGroupsSettings),
    /// List the groups, each with its patterns and whether the report has its sums
    #[command(after_long_help = examples::GROUPS_LIST)]
    List(CommonSettings),
}

impl GroupsCommand {
    pub(super) fn common(&self) -> &CommonSettings {
        match self {
            Self::Apply(settings) => &settings.common,
            Self::List(settings) => settings,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ApplyGroupsSettings {
    /// The file, in TOML: a line a group, with its name and a pattern or a list of patterns
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only show how many pages each group has
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}
