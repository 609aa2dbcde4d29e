//! The names of the formats.

use std::{fmt, path::Path, str::FromStr};

use crate::{
    detect::{Unknown, hour_of},
    parser::Format,
};

/// The name of a format.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FormatName {
    /// `csv`
    Csv,
    /// `jsonl`
    Jsonl,
    /// `goatcounter`
    Goatcounter,
    /// `plausible`
    Plausible,
    /// `wikimedia`
    Wikimedia,
}

impl FormatName {
    const ALL: [(&'static str, Self); 5] = [
        ("csv", Self::Csv),
        ("jsonl", Self::Jsonl),
        ("goatcounter", Self::Goatcounter),
        ("plausible", Self::Plausible),
        ("wikimedia", Self::Wikimedia),
    ];

    /// Returns the format of a file that has this name.
    ///
    /// # Errors
    /// [`Unknown::Hour`] when the hour of a pageview dump is not in its name.
    pub fn of_file(self, name: &Path) -> Result<Format, Unknown> {
        Ok(match self {
            Self::Csv => Format::Csv,
            Self::Jsonl => Format::Jsonl,
            Self::Goatcounter => Format::Goatcounter,
            Self::Plausible => Format::Plausible,
            Self::Wikimedia => Format::Wikimedia(hour_of(name).ok_or(Unknown::Hour)?),
        })
    }
}

impl fmt::Display for FormatName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, format)| format == self).map(|(name, _)| *name);
        formatter.write_str(name.unwrap_or_default())
    }
}

impl FromStr for FormatName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, format)| *format);
        found.ok_or_else(|| "must be csv, jsonl, goatcounter, plausible or wikimedia".to_owned())
    }
}
