//! Creates a PostgreSQL login for each service, with the least privileges that the service needs.

use std::{collections::HashSet, fs, io, path::PathBuf};

use anyhow::Context;
use postgres_protocol::password::scram_sha_256;
use storage::{
    Database,
    database::{DatabaseLocation, DatabaseUrl},
};

use crate::{
    cli::{MigrateCommand, RoleSettings},
    role_prefix::RolePrefix,
};

/// The services that have logins.
const SERVICES: [&str; 3] = ["increments", "reports", "wolf"];
/// The reason why the logins can't be created with these settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoleError {
    #[error("--roles goes with `migrate` and `migrate up` only")]
    NotUp,
    #[error("--role-passwords-file goes with --roles only")]
    NoRoles,
    #[error("an SQLite file has no logins: leave --roles away")]
    Sqlite,
    #[error("can't read {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The error of a line of the file with passwords. It does not repeat the line, which may hold a password.
    #[error("{}, line {line}: must be a service (increments, reports or wolf), a space and a password, once each", .file.display())]
    Line { file: PathBuf, line: usize },
}

/// The logins to create.
#[derive(Debug)]
pub(crate) struct Logins {
    prefix: RolePrefix,
    /// The services that get a password, each with its SCRAM-SHA-256 verifier.
    verifiers: Vec<(&'static str, String)>,
}

impl Logins {
    /// Reads the settings. Returns `None` if no logins are to be created.
    ///
    /// # Errors
    /// [`RoleError`] when the settings don't go together, or the file with passwords can't be read.
    pub(crate) fn read(
        settings: &RoleSettings,
        command: MigrateCommand,
        database: &DatabaseUrl,
    ) -> Result<Option<Self>, RoleError> {
        match (settings.roles, command, &settings.role_passwords_file) {
            (false, _, None) => Ok(None),
            (false, _, Some(_)) => Err(RoleError::NoRoles),
            (true, MigrateCommand::Status | MigrateCommand::Down, _) => Err(RoleError::NotUp),
            (true, MigrateCommand::Up, _) if matches!(database.location(), Ok(DatabaseLocation::Sqlite(_))) => {
                Err(RoleError::Sqlite)
            }
            (true, MigrateCommand::Up, file) => {
                let verifiers = file.as_ref().map_or(Ok(Vec::new()), read_passwords)?;
                Ok(Some(Self { prefix: settings.role_prefix.clone(), verifiers }))
            }
        }
    }

    /// Creates the logins, or corrects existing ones.
    pub(crate) async fn create(&self, database: &Database) -> anyhow::Result<()> {
        let created =
            database.migrate(async |db| migration::make_roles(db, self.prefix.as_str(), &self.verifiers).await);
        created.await.context("can't make the services' logins")
    }
}

/// Reads the passwords and returns their verifiers. They are computed here, so that no password is sent to the database
/// and gets into its log.
fn read_passwords(file: &PathBuf) -> Result<Vec<(&'static str, String)>, RoleError> {
    let text = fs::read_to_string(file).map_err(|error| RoleError::File(file.clone(), error))?;
    let mut seen = HashSet::new();
    let lines = (1..).zip(text.lines().map(str::trim));
    let entries = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    entries
        .map(|(number, line)| {
            let parsed = line.split_once(char::is_whitespace).and_then(|(name, password)| {
                let service = SERVICES.into_iter().find(|service| *service == name)?;
                Some((service, scram_sha_256(password.trim_start().as_bytes())))
            });
            parsed
                .filter(|(service, _)| seen.insert(*service))
                .ok_or_else(|| RoleError::Line { file: file.clone(), line: number })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_needs_no_quotes_in_sql() {
        for good in ["analytics", "a", "site_2"] {
            assert!(good.parse::<RolePrefix>().is_ok(), "{good}");
        }
        for bad in ["", "2a", "A", "a-b", "a;", "a\"", "a b", "é", &"a".repeat(49)] {
            assert!(bad.parse::<RolePrefix>().is_err(), "{bad}");
        }
    }
}
