//! What can be set about the dashboard.

use std::str::FromStr;

use clap::Args;
use increments::is_allowed_in_names;
use serde::Serialize;

/// The most bytes of the title, so that it fits into the page's head.
const TITLE_BYTES_MAX: usize = 256;

/// What can be set about the dashboard.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Dashboard")]
pub struct DashboardSettings {
    /// The title of the dashboard, such as the name of your site, instead of Analytics. Whoever opens the page sees it,
    /// even without a token
    #[arg(long, env = "ANALYTICS_SITE_TITLE", value_name = "TITLE")]
    pub site_title: Option<SiteTitle>,
}

/// The title of the dashboard: 1 to 256 bytes without spaces around them, without control characters and
/// [bidirectional ones](increments::is_bidirectional_control).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteTitle(String);

/// The error for a text that is not a title.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a title has 1 to {TITLE_BYTES_MAX} bytes and no control characters, bidirectional ones included")]
pub struct ParseSiteTitleError;

impl FromStr for SiteTitle {
    type Err = ParseSiteTitleError;

    fn from_str(text: &str) -> Result<Self, ParseSiteTitleError> {
        let title = text.trim_matches(' ');
        let is_title = !title.trim().is_empty() && title.len() <= TITLE_BYTES_MAX;
        let is_allowed = is_title && title.chars().all(is_allowed_in_names);
        is_allowed.then(|| Self(title.to_owned())).ok_or(ParseSiteTitleError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_is_short_and_has_no_control_characters() {
        for (text, title) in [
            ("Example", "Example"),
            ("  Example’s  figures ", "Example’s  figures"),
            ("</title><script>alert(1)</script>&amp;", "</title><script>alert(1)</script>&amp;"),
            ("日本語 🦀", "日本語 🦀"),
            (&"x".repeat(TITLE_BYTES_MAX), &"x".repeat(TITLE_BYTES_MAX)),
        ] {
            assert_eq!(text.parse(), Ok(SiteTitle(title.to_owned())), "{text}");
        }
        for text in
            ["", "   ", "\u{a0}", "a\nb", "\ta", "a\u{0}", "a\u{85}b", "a\u{202e}b", "\u{2066}a", &"ä".repeat(129)]
        {
            assert_eq!(text.parse::<SiteTitle>(), Err(ParseSiteTitleError), "{text:?}");
        }
    }
}
