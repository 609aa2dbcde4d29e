//! Scopes: the permissions of a client.

use std::{fmt, str::FromStr};

use clap::ValueEnum;

/// A permission.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// To record page views.
    Increments,
    /// To read reports and their freshness.
    Reports,
    /// To change what was counted, and to see these changes. Only tokens have it, so it is no value of `--anonymous`.
    #[value(hide = true)]
    Manage,
}

/// A set of scopes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    increments: bool,
    reports: bool,
    manage: bool,
}

/// The error for a text that is not a list of scopes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scopes are increments, reports and manage; several are separated by ',', such as increments,reports")]
pub struct ParseScopesError;

impl Scopes {
    /// The scopes that requests without a token may have.
    pub(super) const WITHOUT_TOKEN: Self = Self { increments: true, reports: true, manage: false };

    pub(crate) fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Increments => self.increments,
            Scope::Reports => self.reports,
            Scope::Manage => self.manage,
        }
    }

    /// Returns the scopes of this set.
    fn iter(self) -> impl Iterator<Item = Scope> {
        [Scope::Increments, Scope::Reports, Scope::Manage].into_iter().filter(move |scope| self.has(*scope))
    }

    /// Returns a scope of this set that `other` lacks.
    pub(super) fn missing_in(self, other: Self) -> Option<Scope> {
        self.iter().find(|scope| !other.has(*scope))
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), |all, scope| match scope {
            Scope::Increments => Self { increments: true, ..all },
            Scope::Reports => Self { reports: true, ..all },
            Scope::Manage => Self { manage: true, ..all },
        })
    }
}

impl FromStr for Scopes {
    type Err = ParseScopesError;

    fn from_str(text: &str) -> Result<Self, ParseScopesError> {
        let scope = |name: &str| match name {
            "increments" => Ok(Scope::Increments),
            "reports" => Ok(Scope::Reports),
            "manage" => Ok(Scope::Manage),
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
            Self::Manage => "manage",
        })
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for scope in self.iter() {
            write!(formatter, "{separator}{scope}")?;
            separator = ",";
        }
        Ok(())
    }
}
