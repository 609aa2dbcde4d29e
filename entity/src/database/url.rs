//! A database's address.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;

use super::DatabaseError;

/// A database's address, as it was given. Its `Debug` and `Display` never show a password.
#[derive(Clone)]
pub struct DatabaseUrl {
    text: String,
    /// Counts more than the one in the text.
    password: Option<String>,
}

/// What an address can mean.
#[derive(Clone, Debug)]
pub enum Place {
    /// A PostgreSQL server's database.
    Postgres(Box<PgConnectOptions>),
    /// An SQLite file.
    Sqlite(PathBuf),
}

impl DatabaseUrl {
    /// The error of a database that can't be reached here.
    pub(super) fn unreachable(&self, source: sqlx::Error) -> DatabaseError {
        DatabaseError::Connect { url: self.to_string(), source }
    }

    /// The same with another password.
    pub(super) fn with_password(self, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..self }
    }

    /// Where it points to.
    ///
    /// # Errors
    /// [`DatabaseError::Url`], [`DatabaseError::PostgresUrl`] and [`DatabaseError::SeveralServers`], which repeat nothing of
    /// it.
    pub fn place(&self) -> Result<Place, DatabaseError> {
        let text = &self.text;
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            if chooses_a_server(text) {
                return Err(DatabaseError::SeveralServers);
            }
            let options = PgConnectOptions::from_str(text).map_err(|_may_repeat_it| DatabaseError::PostgresUrl)?;
            // Poolers take no startup parameter that they do not know, and this one matters to floats in text only, of which
            // there are none.
            let options = options.application_name("analytics").extra_float_digits(None);
            let options = match &self.password {
                Some(password) => options.password(password),
                None => options,
            };
            return Ok(Place::Postgres(Box::new(options)));
        }
        match text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
            // An in-memory database is one per connection: there would be nothing to share. Parameters are not known.
            Some(file) if !file.is_empty() && !file.starts_with(":memory:") && !file.contains('?') => {
                Ok(Place::Sqlite(PathBuf::from(file)))
            }
            _ => Err(DatabaseError::Url),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = Infallible;

    /// Takes anything: who refuses an argument repeats it, and it may hold a password. It is read when it is used.
    fn from_str(url: &str) -> Result<Self, Infallible> {
        Ok(Self { text: url.to_owned(), password: None })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.text.split_once("://").unwrap_or(("", &self.text));
        if scheme == "sqlite" {
            return write!(f, "{}", self.text);
        }
        // Parameters may hold a password, and so does what stands before the last @.
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

/// Whether a PostgreSQL URL names several servers, or which kind of server it should be, as libpq understands it
/// (<https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS>). The driver does not.
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
    fn a_password_is_never_shown() {
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
    fn a_choice_of_servers_is_refused_and_not_repeated() {
        for choice in [
            "postgres://me:secret@a:5432,b:5433/db",
            "postgres://me:secret@a,b/db?target_session_attrs=read-write",
            "postgres://me:secret@a/db?target_session_attrs=primary",
            "postgres:///db?user=me&password=secret&host=a,b",
            "postgres:///db?host=a%2Cb",
            "postgresql://a/db?hostaddr=10.0.0.1,10.0.0.2",
        ] {
            let error = url(choice).place().unwrap_err();
            assert!(matches!(error, DatabaseError::SeveralServers), "{choice}: {error}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
        for one in ["postgres://me:a,b@host:5432/db,x", "postgres://host/db?target_session_attrs=any&password=a,b"] {
            assert!(matches!(url(one).place(), Ok(Place::Postgres(_))), "{one}");
        }
    }

    #[test]
    fn other_databases_are_refused_and_not_repeated() {
        for wrong in ["mysql://host/secret", "secret.db", "sqlite://", "sqlite::memory:", "", "sqlite://secret?mode=ro"]
        {
            assert!(matches!(url(wrong).place(), Err(DatabaseError::Url)), "{wrong}");
        }
        let error = url("postgres://me:secret@host:badport/db").place().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
