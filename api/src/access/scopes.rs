//! Scopes: the permissions of a client.

use std::{fmt, str::FromStr};

use clap::ValueEnum;

/// A permission.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// To record page views: every mutation.
    Increments,
    /// To read reports and their freshness: every query and subscription.
    Reports,
}

/// A set of scopes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    increments: bool,
    reports: bool,
}

/// The error for a text that is not a list of scopes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scopes are increments, reports, or increments,reports")]
pub struct ParseScopesError;

impl Scopes {
    pub(super) const ALL: Self = Self { increments: true, reports: true };

    pub(super) fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Increments => self.increments,
            Scope::Reports => self.reports,
        }
    }

    /// Returns a scope of this set that `other` lacks.
    pub(super) fn missing_in(self, other: Self) -> Option<Scope> {
        [Scope::Increments, Scope::Reports].into_iter().find(|scope| self.has(*scope) && !other.has(*scope))
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), |all, scope| match scope {
            Scope::Increments => Self { increments: true, ..all },
            Scope::Reports => Self { reports: true, ..all },
        })
    }
}

impl FromStr for Scopes {
    type Err = ParseScopesError;

    fn from_str(text: &str) -> Result<Self, ParseScopesError> {
        let scope = |name: &str| match name {
            "increments" => Ok(Scope::Increments),
            "reports" => Ok(Scope::Reports),
            _ => Err(ParseScopesError),
        };
        text.split(',').map(scope).collect()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Increments => "increments",
            Self::Reports => "reports",
        })
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for scope in [Scope::Increments, Scope::Reports].into_iter().filter(|scope| self.has(*scope)) {
            write!(formatter, "{separator}{scope}")?;
            separator = ",";
        }
        Ok(())
    }
}
