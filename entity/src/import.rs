//! `imports`: the imports of access logs.

use sea_orm::entity::prelude::*;

/// One run of the import over one log.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "imports")]
pub struct Model {
    /// A random number, chosen by the run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// When the run began.
    pub began_at: DateTimeUtc,
    /// When the run last recorded lines.
    pub last_at: DateTimeUtc,
    /// The name of the log's file, as it was given.
    pub source: String,
    /// The rules by which lines counted, as options of the command line.
    pub rules: String,
    /// The version of the program.
    pub program: String,
    /// The number of lines that this run looked at.
    pub lines: i64,
    /// The number of lines that this run counted as page views.
    pub counted: i64,
    /// The number of lines that were left out as no page views.
    pub left_out: i64,
    /// The number of lines that could not be read.
    pub unreadable: i64,
    /// When what the run counted was taken back.
    pub undone_at: Option<DateTimeUtc>,
}

/// The table has no declared relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
