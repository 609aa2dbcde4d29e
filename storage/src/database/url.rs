//! Database URLs.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::DatabaseError;

/// A database URL as it was given. Its `Debug` and `Display` never show a password.
#[derive(Clone)]
pub struct DatabaseUrl {
    text: String,
    /// The password that replaces the one in `text`.
    password: Option<String>,
    /// Whether a connection that would rather be encrypted is not.
    is_unencrypted: bool,
}

/// The database that a URL names.
#[derive(Clone, Debug)]
pub enum DatabaseLocation {
    /// A database of a PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
    /// An SQLite file.
    Sqlite(PathBuf),
}

impl DatabaseUrl {
    /// Returns the error that this database can't be reached.
    pub(super) fn unreachable(&self, source: sqlx::Error) -> DatabaseError {
        DatabaseError::Connect { url: self.to_string(), source }
    }

    /// Returns the URL with another password.
    pub(super) fn with_password(self, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..self }
    }

    /// Returns the URL without encryption if it does not demand any (`sslmode=prefer`, as by default).
    pub(super) fn without_encryption(&self) -> Option<Self> {
        let Ok(DatabaseLocation::Postgres(options)) = self.location() else { return None };
        let prefers = matches!(options.get_ssl_mode(), PgSslMode::Prefer);
        prefers.then(|| Self { is_unencrypted: true, ..self.clone() })
    }

    /// Parses the URL.
    ///
    /// # Errors
    /// [`DatabaseError::Url`], [`DatabaseError::PostgresUrl`] and [`DatabaseError::SeveralServers`]. None of them
    /// repeats any part of a URL.
    pub fn location(&self) -> Result<DatabaseLocation, DatabaseError> {
        let text = &self.text;
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            if chooses_a_server(text) {
                return Err(DatabaseError::SeveralServers);
            }
            let options = PgConnectOptions::from_str(text).map_err(|_may_repeat_it| DatabaseError::PostgresUrl)?;
            // Poolers refuse startup parameters that they do not know. `extra_float_digits` only matters for floats
            // sent as text, and there are none.
            let options = options.application_name("analytics").extra_float_digits(None);
            let options = match &self.password {
                Some(password) => options.password(password),
                None => options,
            };
            let options = if self.is_unencrypted { options.ssl_mode(PgSslMode::Disable) } else { options };
            return Ok(DatabaseLocation::Postgres(Box::new(options)));
        }
        match text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
            // Each connection would have an in-memory database of its own. Parameters are not supported.
            Some(file) if !file.is_empty() && !file.starts_with(":memory:") && !file.contains('?') => {
                Ok(DatabaseLocation::Sqlite(PathBuf::from(file)))
            }
            _ => Err(DatabaseError::Url { path: self.is_path().then(|| text.clone()) }),
        }
    }

    /// Returns whether the text seems to be the path of a file, and can't hold a password.
    fn is_path(&self) -> bool {
        let may_be_secret = |character: char| ":@?=".contains(character) || character.is_whitespace();
        self.text.contains(['/', '.']) && !self.text.contains(may_be_secret)
    }
}

impl FromStr for DatabaseUrl {
    type Err = Infallible;

    /// Accepts any text. The URL is parsed when it is used, since clap would repeat a refused argument with its
    /// password.
    fn from_str(url: &str) -> Result<Self, Infallible> {
        Ok(Self { text: url.to_owned(), password: None, is_unencrypted: false })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.text.split_once("://").unwrap_or(("", &self.text));
        if scheme == "sqlite" {
            return write!(f, "{}", self.text);
        }
        // The parameters may hold a password, and so may the part before the last @.
        let rest = rest.split('?').next().unwrap_or_default();
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        write!(f, "postgres://{place}")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Returns whether a PostgreSQL URL names several servers or restricts the kind of server, as in libpq
/// (<https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS>). sqlx does not support either.
fn chooses_a_server(url: &str) -> bool {
    let (rest, parameters) = url.split_once('?').unwrap_or((url, ""));
    let authority = rest.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let mut parameters = parameters.split('&').filter_map(|parameter| parameter.split_once('='));
    hosts.contains(',')
        || parameters.any(|(name, value)| match name {
            "host" | "hostaddr" | "port" => value.contains(',') || value.to_ascii_lowercase().contains("%2c"),
            "target_session_attrs" => value != "any",
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> DatabaseUrl {
        let Ok(url) = text.parse();
        url
    }

    #[test]
    fn display_and_debug_never_show_a_password() {
        for (given, shown) in [
            ("postgres://me:secret@host:5432/db?password=secret", "postgres://host:5432/db"),
            ("postgresql://me:se@secret@host:5432/db", "postgres://host:5432/db"),
            ("postgres://host/db?user=me@corp&password=p@secret", "postgres://host/db"),
            ("postgres://me:secret@host:badport/db", "postgres://host:badport/db"),
            ("mysql://me:secret@host/db", "postgres://host/db"),
        ] {
            assert_eq!(url(given).to_string(), shown);
            assert_eq!(format!("{:?}", url(given)), shown);
        }
    }

    #[test]
    fn url_with_several_servers_is_refused_and_not_repeated() {
        for choice in [
            "postgres://me:secret@a:5432,b:5433/db",
            "postgres://me:secret@a,b/db?target_session_attrs=read-write",
            "postgres://me:secret@a/db?target_session_attrs=primary",
            "postgres:///db?user=me&password=secret&host=a,b",
            "postgres:///db?host=a%2Cb",
            "postgresql://a/db?hostaddr=10.0.0.1,10.0.0.2",
        ] {
            let error = url(choice).location().unwrap_err();
            assert!(matches!(error, DatabaseError::SeveralServers), "{choice}: {error}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
        for one in ["postgres://me:a,b@host:5432/db,x", "postgres://host/db?target_session_attrs=any&password=a,b"] {
            assert!(matches!(url(one).location(), Ok(DatabaseLocation::Postgres(_))), "{one}");
        }
    }

    #[test]
    fn url_of_another_database_is_refused_and_not_repeated() {
        for wrong in ["mysql://host/secret", "secret.db", "sqlite://", "sqlite::memory:", "", "sqlite://secret?mode=ro"]
        {
            assert!(matches!(url(wrong).location(), Err(DatabaseError::Url { .. })), "{wrong}");
        }
        let error = url("data/analytics.db").location().unwrap_err().to_string();
        assert!(error.ends_with("for example sqlite://data/analytics.db"), "{error}");
        for unsafe_to_repeat in ["me:secret@host/db", "host=db password=secret", "secret?mode=ro"] {
            let error = url(unsafe_to_repeat).location().unwrap_err().to_string();
            assert!(error.ends_with("for example sqlite://analytics.db"), "{error}");
        }
        let error = url("postgres://me:secret@host:badport/db").location().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
