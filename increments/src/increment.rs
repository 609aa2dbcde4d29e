//! Increments and requests, as types whose constructors validate them.

use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{AHEAD_MAX, Hour};
use sha2::{Digest, Sha256};

use super::{
    INCREMENTS_PER_REQUEST_MAX,
    client::Client,
    imports::{IMPORT_PREFIX, ImportStep},
};

/// The longest name of a page, in bytes.
pub const PAGE_BYTES_MAX: usize = 1_024;
/// The longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 1_024;
/// The most views of one increment.
pub const VIEWS_MAX: i64 = 1_000_000;
/// The most views that an import adds to a page in an hour by one step: those of 10,000 lines.
const IMPORTED_VIEWS_MAX: i64 = 10_000_000_000_000_000;
/// The greatest age of a view in a request without a token, so that anonymous clients can't change older counts.
const ANONYMOUS_AGE_MAX: TimeDelta = TimeDelta::hours(24);
/// The first year that a view may have happened in.
const YEAR_MIN: i32 = 2000;
/// The longest idempotency key of a client, in characters.
pub const KEY_CHARACTERS_MAX: usize = 128;

/// An invalid value, described for the client by its field and the limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct ValidationError {
    /// The field's name in the GraphQL schema.
    pub field: &'static str,
    problem: String,
}

impl ValidationError {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }

    /// Returns the message for a value that stands in another field.
    #[must_use]
    pub fn of_field(&self, field: &str) -> String {
        format!("{field} {}", self.problem)
    }
}

/// The characters that change the direction of the text behind them (Unicode's UAX #9, 2.1 to 2.4): embeddings and
/// overrides, then isolates. In a name they would also change how the text printed after the name is displayed.
const BIDIRECTIONAL_CONTROLS: [RangeInclusive<char>; 2] = ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// Returns whether the character changes the direction of the text behind it.
#[must_use]
pub fn is_bidirectional_control(character: char) -> bool {
    BIDIRECTIONAL_CONTROLS.iter().any(|range| range.contains(&character))
}

/// Returns whether a page's name or title may have the character.
#[must_use]
pub fn is_allowed_in_names(character: char) -> bool {
    !character.is_control() && !is_bidirectional_control(character)
}

/// A page's name: 1 to 1,024 bytes, without control characters and [bidirectional ones](is_bidirectional_control).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageName(Box<str>);

impl PageName {
    /// Validates `name`.
    ///
    /// # Errors
    /// [`ValidationError`] when it is empty, too long or has a character that names may not have.
    pub fn new(name: String) -> Result<Self, ValidationError> {
        check_text("page", &name, PAGE_BYTES_MAX)?;
        Ok(Self(name.into_boxed_str()))
    }

    /// Returns the name as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A page's title, with the limits of a [page's name](PageName).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title(Box<str>);

impl Title {
    /// Validates `title`.
    ///
    /// # Errors
    /// [`ValidationError`] when it is empty, too long or has a character that names may not have.
    pub fn new(title: String) -> Result<Self, ValidationError> {
        check_text("title", &title, TITLE_BYTES_MAX)?;
        Ok(Self(title.into_boxed_str()))
    }

    /// Returns the title that a web page shows, as far as titles may have it: without characters that they may not have,
    /// and cut at their length. None if nothing is left.
    #[must_use]
    pub fn of_page(text: &str) -> Option<Self> {
        let spaced = text.chars().map(|character| if character.is_control() { ' ' } else { character });
        let allowed: String = spaced.filter(|character| is_allowed_in_names(*character)).collect();
        let trimmed = allowed.trim();
        Self::new(trimmed[..trimmed.floor_char_boundary(TITLE_BYTES_MAX)].to_owned()).ok()
    }

    /// Returns the title as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the length and the characters of a name or title.
fn check_text(field: &'static str, text: &str, bytes_max: usize) -> Result<(), ValidationError> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(ValidationError::new(field, format!("must be 1 to {bytes_max} bytes long, not {}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(ValidationError::new(field, "must not have control characters"));
    }
    if let Some(control) = text.chars().find(|character| is_bidirectional_control(*character)) {
        let problem = format!("must not have bidirectional control characters, such as {}", control.escape_unicode());
        return Err(ValidationError::new(field, problem));
    }
    Ok(())
}

/// The number of views of an increment: 1 to 1,000,000.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Views(i64);

impl Views {
    /// One view.
    pub const ONE: Self = Self(1);

    /// Validates `views`.
    ///
    /// # Errors
    /// [`ValidationError`] when it is out of range.
    pub fn new(views: i64) -> Result<Self, ValidationError> {
        if (1..=VIEWS_MAX).contains(&views) {
            return Ok(Self(views));
        }
        Err(ValidationError::new("views", format!("must be 1 to {VIEWS_MAX}, not {views}")))
    }

    /// Validates the sum of views of an import, which may be more than an increment of a client may have.
    ///
    /// # Errors
    /// [`ValidationError`] when it is out of range.
    pub fn of_import(views: i64) -> Result<Self, ValidationError> {
        if (1..=IMPORTED_VIEWS_MAX).contains(&views) {
            return Ok(Self(views));
        }
        Err(ValidationError::new("views", format!("must be 1 to {IMPORTED_VIEWS_MAX}, not {views}")))
    }

    /// Returns the number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

/// The limits of a request that records.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RecordingLimits {
    /// The most increments of the request.
    pub increments_max: usize,
    /// The most views of each increment.
    pub views_max: i64,
    /// How long ago the views may have happened.
    pub back_dating: BackDating,
    /// Whether the request's titles replace existing titles; if not, they are only set on pages without a title.
    pub replaces_titles: bool,
}

impl RecordingLimits {
    /// The limits of requests with a token, and of all requests where no token is needed.
    pub const WIDEST: Self = Self {
        increments_max: INCREMENTS_PER_REQUEST_MAX,
        views_max: VIEWS_MAX,
        back_dating: BackDating::Any,
        replaces_titles: true,
    };

    /// Returns the limits of requests without a token.
    #[must_use]
    pub fn anonymous(increments_max: u32, views_max: u32) -> Self {
        Self {
            increments_max: usize::try_from(increments_max).unwrap_or(usize::MAX),
            views_max: views_max.into(),
            back_dating: BackDating::Anonymous,
            replaces_titles: false,
        }
    }

    /// Returns the words that follow a limit in an error message: empty, or a remark that the limit is that of requests
    /// without a token.
    #[must_use]
    pub fn remark(&self) -> &'static str {
        if *self == Self::WIDEST { "" } else { " without a token" }
    }

    /// Checks the number of views of an increment.
    ///
    /// # Errors
    /// [`ValidationError`] when it is out of range.
    pub fn check_views(&self, views: i64) -> Result<Views, ValidationError> {
        if (1..=self.views_max).contains(&views) {
            return Views::new(views);
        }
        let problem = format!("must be 1 to {}{}, not {views}", self.views_max, self.remark());
        Err(ValidationError::new("views", problem))
    }
}

/// The limit of how long ago recorded views may have happened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BackDating {
    /// At any time since the year 2000.
    Any,
    /// In the last 24 hours, for requests without a token.
    Anonymous,
}

/// Checks the time of a view against `now`.
///
/// # Errors
/// [`ValidationError`] when `at` is more than 5 minutes ahead, before the year 2000 or older than `back_dating` allows.
pub fn check_at(
    at: DateTime<Utc>,
    now: DateTime<Utc>,
    back_dating: BackDating,
) -> Result<DateTime<Utc>, ValidationError> {
    use chrono::Datelike;
    if at > now + AHEAD_MAX {
        return Err(ValidationError::new(
            "at",
            format!("must not be more than {} minutes ahead", AHEAD_MAX.num_minutes()),
        ));
    }
    if at.year() < YEAR_MIN {
        return Err(ValidationError::new("at", format!("must not be before the year {YEAR_MIN}")));
    }
    if back_dating == BackDating::Anonymous && at < now - ANONYMOUS_AGE_MAX {
        let hours = ANONYMOUS_AGE_MAX.num_hours();
        return Err(ValidationError::new("at", format!("must not be more than {hours} hours ago without a token")));
    }
    Ok(at)
}

/// A request to add views to a page in an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Increment {
    /// The page.
    pub page: PageName,
    /// How many views to add.
    pub views: Views,
    /// The hour to add them to.
    pub hour: Hour,
    /// When the page was viewed, if the client sent it.
    pub at: Option<DateTime<Utc>>,
    /// The page's title, if the client sent it.
    pub title: Option<Title>,
}

/// An idempotency key: requests of a client with the same key count once.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    pub(super) text: String,
    pub(super) client: Client,
}

impl IdempotencyKey {
    /// Returns the key's text and its client's id, which identify it together.
    pub(super) fn id(&self) -> (&str, &str) {
        (&self.text, self.client.id())
    }

    /// Returns the key's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the key's client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Validates a client's key, which expires after 24 hours.
    ///
    /// # Errors
    /// [`ValidationError`] when the key is empty, longer than 128 characters, has a control character or begins with
    /// `import:`.
    pub fn of_client(key: String, client: Client) -> Result<Self, ValidationError> {
        const FIELD: &str = "idempotencyKey";
        let characters = key.chars().count();
        if key.is_empty() || characters > KEY_CHARACTERS_MAX {
            let problem = format!("must be 1 to {KEY_CHARACTERS_MAX} characters long, not {characters}");
            return Err(ValidationError::new(FIELD, problem));
        }
        if key.chars().any(char::is_control) {
            return Err(ValidationError::new(FIELD, "must not have control characters"));
        }
        if key.starts_with(IMPORT_PREFIX) {
            return Err(ValidationError::new(FIELD, format!("must not begin with {IMPORT_PREFIX}")));
        }
        Ok(Self { text: key, client })
    }
}

/// The SHA-256 of a request's increments as they were sent.
pub(super) type Fingerprint = [u8; 32];

/// Increments that are recorded together or not at all. On a Citus cluster each node records those of its
/// pages.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) increments: Vec<Increment>,
    pub(super) key: Option<(IdempotencyKey, Fingerprint)>,
    pub(super) replaces_titles: bool,
    pub(super) import_step: Option<Box<ImportStep>>,
    pub(super) role: Role,
}

/// What of a request is to be committed. Only on a Citus cluster is it not all at once.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// All of it.
    Whole,
    /// Its key, before the nodes count its parts.
    Claim,
    /// The increments of one shard, of the request whose claim of its key has this number.
    Part(i64),
    /// Nothing: it tells whether a node takes commits.
    Probe,
}

impl Request {
    /// Returns a request of `increments`, which counts once if it has a `key`.
    #[must_use]
    pub fn new(increments: Vec<Increment>, key: Option<IdempotencyKey>) -> Self {
        let key = key.map(|key| (key, fingerprint(&increments)));
        Self { increments, key, replaces_titles: true, import_step: None, role: Role::Whole }
    }

    /// Returns a request of an import: `increments` are counted if the step can be taken. Titles are set where there are
    /// none.
    #[must_use]
    pub fn of_import(increments: Vec<Increment>, step: ImportStep) -> Self {
        Self { import_step: Some(Box::new(step)), ..Self::new(increments, None).without_replacing_titles() }
    }

    /// Returns the request, changed so that its titles are only set on pages without a title.
    #[must_use]
    pub fn without_replacing_titles(self) -> Self {
        Self { replaces_titles: false, ..self }
    }

    /// Returns what claims the request's key, without its increments.
    pub(super) fn claim(&self) -> Self {
        let key = self.key.clone();
        Self { key, role: Role::Claim, ..Self::new(Vec::new(), None) }
    }

    /// Returns what tells whether a node takes commits.
    pub(super) fn probe() -> Self {
        Self { role: Role::Probe, ..Self::new(Vec::new(), None) }
    }

    /// Returns the first of the names of the pages, which stands for a part.
    pub(super) fn first_page(&self) -> &str {
        self.increments.iter().map(|increment| increment.page.as_str()).min().unwrap_or_default()
    }

    /// Returns the number of increments.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a request of a client is never empty")]
    pub fn len(&self) -> usize {
        self.increments.len()
    }

    /// Returns the sum of the increments' views.
    #[must_use]
    pub fn views(&self) -> i64 {
        self.increments.iter().map(|increment| increment.views.get()).sum()
    }
}

/// Returns the hash of the increments as they were sent. Their hours are left out: an increment without `at` gets
/// another hour when it is retried later.
fn fingerprint(increments: &[Increment]) -> Fingerprint {
    let mut hash = Sha256::new();
    let mut text = |text: &str| {
        // The length in front keeps ("a", "bc") apart from ("ab", "c").
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    };
    for increment in increments {
        text(increment.page.as_str());
        text(&increment.views.get().to_string());
        text(&increment.at.map_or_else(String::new, |at| at.timestamp_micros().to_string()));
        text(increment.title.as_ref().map_or("", Title::as_str));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn increment(page: &str, title: Option<&str>, hour: i32) -> Increment {
        Increment {
            page: PageName::new(page.to_owned()).unwrap(),
            views: Views::new(1).unwrap(),
            hour: Hour::containing(DateTime::UNIX_EPOCH).plus(hour),
            at: None,
            title: title.map(|title| Title::new(title.to_owned()).unwrap()),
        }
    }

    #[test]
    fn names_have_1_to_1024_bytes_and_no_control_characters() {
        assert!(PageName::new("é".repeat(512)).is_ok());
        let error = PageName::new("é".repeat(513)).unwrap_err();
        assert_eq!(error.to_string(), "page must be 1 to 1024 bytes long, not 1026");
        for wrong in ["", "a\0", "a\nb", "\u{85}"] {
            assert!(PageName::new(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn title_of_a_page_is_made_to_fit() {
        let long = "é".repeat(600);
        for (text, expected) in [
            ("Hello", Some("Hello")),
            (" two\nlines\t", Some("two lines")),
            ("a\u{202e}b\u{2069}", Some("ab")),
            (long.as_str(), Some(&long[..1_024])),
            (&format!("a{long}"), Some(&format!("a{long}")[..1_023])),
            ("", None),
            (" \n\u{202e}", None),
        ] {
            assert_eq!(Title::of_page(text).as_ref().map(Title::as_str), expected, "{text}");
        }
    }

    #[test]
    fn names_and_titles_with_bidirectional_controls_are_refused() {
        for control in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            let text = format!("/a{control}b");
            let expected =
                format!("must not have bidirectional control characters, such as {}", control.escape_unicode());
            assert_eq!(PageName::new(text.clone()).unwrap_err().to_string(), format!("page {expected}"));
            assert_eq!(Title::new(text).unwrap_err().to_string(), format!("title {expected}"));
        }
        for right in ["/a\u{2029}", "/a\u{202f}", "/\u{2065}", "/\u{206a}", "/\u{200e}", "/שלום", "/مرحبا"] {
            assert!(PageName::new(right.to_owned()).is_ok(), "{right:?}");
        }
    }

    #[test]
    fn times_are_checked_against_the_clock() {
        let now: DateTime<Utc> = "2026-11-22T20:00:00Z".parse().unwrap();
        assert!(check_at(now + TimeDelta::minutes(5), now, BackDating::Any).is_ok());
        assert!(check_at(now + TimeDelta::minutes(5) + TimeDelta::seconds(1), now, BackDating::Any).is_err());
        assert!(check_at("2000-01-01T00:00:00Z".parse().unwrap(), now, BackDating::Any).is_ok());
        assert!(check_at("1999-12-31T23:59:59Z".parse().unwrap(), now, BackDating::Any).is_err());
        let day_ago = now - TimeDelta::hours(24);
        assert!(check_at(day_ago, now, BackDating::Anonymous).is_ok());
        assert!(check_at(day_ago - TimeDelta::seconds(1), now, BackDating::Any).is_ok());
        let refused = check_at(day_ago - TimeDelta::seconds(1), now, BackDating::Anonymous).unwrap_err();
        assert_eq!(refused.to_string(), "at must not be more than 24 hours ago without a token");
    }

    #[test]
    fn requests_without_a_token_have_narrower_limits() {
        let limits = RecordingLimits::anonymous(100, 2);
        assert_eq!(limits.check_views(2).unwrap().get(), 2);
        assert_eq!(limits.check_views(3).unwrap_err().to_string(), "views must be 1 to 2 without a token, not 3");
        let refused = RecordingLimits::WIDEST.check_views(1_000_001).unwrap_err();
        assert_eq!(refused.to_string(), "views must be 1 to 1000000, not 1000001");
        assert!(limits.check_views(0).is_err() && RecordingLimits::WIDEST.check_views(0).is_err());
    }

    #[test]
    fn fingerprint_depends_on_sent_values_and_not_on_the_hour() {
        let first = fingerprint(&[increment("/a", None, 0)]);
        assert_eq!(first, fingerprint(&[increment("/a", None, 7)]), "an hour later, without `at`");
        assert_ne!(first, fingerprint(&[increment("/b", None, 0)]));
        assert_ne!(first, fingerprint(&[increment("/a", Some("A"), 0)]));
        assert_ne!(first, fingerprint(&[increment("/a", None, 0), increment("/a", None, 0)]));
    }

    #[test]
    fn client_keys_are_bounded_and_must_not_begin_with_import() {
        let of_client = |key: String| IdempotencyKey::of_client(key, Client::anonymous());
        assert!(of_client("import:1".to_owned()).is_err());
        assert!(of_client("k".repeat(129)).is_err());
        assert!(of_client("é".repeat(128)).is_ok());
    }
}
