//! Decides which lines of an access log are page views, and of which page.

use std::{borrow::Cow, fmt};

use access_logs::{LineError, LogLine, Parser};
use chrono::{DateTime, Utc};
use entity::{AHEAD_MAX, Hour};
use increments::is_allowed_in_names;

use crate::lines::{LINE_BYTES_MAX, Line};

/// The longest name of a page that the service accepts, in bytes.
const PAGE_BYTES_MAX: usize = 1_024;
/// The extensions of files that are parts of pages, or that people do not view as pages, in alphabetical order.
///
/// These are the static and downloaded files of Matomo's importer (`import_logs.py` of matomo-log-analytics, d1cd2fe),
/// the static files of GoAccess (`goaccess.conf`, 0784e0e; with those that it has in comments), and newer ones that both
/// lack: feeds, fonts, modules, manifests, pictures, subtitles and parts of videos.
const ASSET_EXTENSIONS: [&str; 137] = [
    "7z",
    "aac",
    "ac3",
    "apk",
    "apng",
    "appimage",
    "arc",
    "arj",
    "asf",
    "asx",
    "atom",
    "avi",
    "avif",
    "azw3",
    "bin",
    "bmp",
    "bz2",
    "cjs",
    "class",
    "css",
    "csv",
    "cue",
    "cur",
    "dae",
    "dat",
    "deb",
    "dmg",
    "doc",
    "docx",
    "dts",
    "ejs",
    "eot",
    "eps",
    "epub",
    "exe",
    "flac",
    "flv",
    "gif",
    "gz",
    "gzip",
    "heic",
    "hqx",
    "ibooks",
    "ico",
    "ics",
    "img",
    "ipa",
    "iso",
    "jar",
    "jpeg",
    "jpg",
    "js",
    "json",
    "jxl",
    "less",
    "m3u8",
    "m4a",
    "m4v",
    "map",
    "md5",
    "mid",
    "midi",
    "mjs",
    "mkv",
    "mobi",
    "mov",
    "movie",
    "mp2",
    "mp3",
    "mp4",
    "mpd",
    "mpeg",
    "mpg",
    "msi",
    "msp",
    "odb",
    "odf",
    "odg",
    "odp",
    "ods",
    "odt",
    "ogg",
    "ogv",
    "opus",
    "otf",
    "pdf",
    "phps",
    "pict",
    "pkg",
    "pls",
    "png",
    "ppt",
    "pptx",
    "ps",
    "qt",
    "qtm",
    "ra",
    "ram",
    "rar",
    "rm",
    "rpm",
    "rss",
    "rtf",
    "sea",
    "sig",
    "sit",
    "srt",
    "svg",
    "svgz",
    "swf",
    "tar",
    "tbz",
    "tgz",
    "tif",
    "tiff",
    "torrent",
    "ttf",
    "txt",
    "vtt",
    "wasm",
    "wav",
    "webm",
    "webmanifest",
    "webp",
    "wma",
    "wmv",
    "woff",
    "woff2",
    "wpd",
    "xls",
    "xlsx",
    "xml",
    "xsd",
    "xz",
    "z",
    "zip",
    "zst",
];

/// Which requests count as page views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether pictures, scripts, feeds and downloads count too.
    pub include_assets: bool,
    /// Whether requests of known bots count too.
    pub include_bots: bool,
    /// Further extensions of assets, without a dot.
    pub assets: Vec<String>,
}

/// Prints the rules as options of the command line.
impl fmt::Display for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        options.extend(self.include_assets.then(|| "--include-assets".to_owned()));
        options.extend(self.include_bots.then(|| "--include-bots".to_owned()));
        options.extend(self.assets.iter().map(|extension| format!("--asset {extension}")));
        formatter.write_str(&options.join(" "))
    }
}

/// The decision on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// The line is a page view.
    Counted {
        /// The page: the target's path as it was requested.
        page: Cow<'a, str>,
        /// The hour of the view.
        hour: Hour,
    },
    /// The line is not a page view.
    LeftOut(LeftOut),
}

/// The reason why a readable line is not a page view. If several apply, it is the first one in this order.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LeftOut {
    /// The method is not GET, or there is no request.
    Method,
    /// The status is not 200 to 299 or 304: no page was shown, or only a redirect.
    Status,
    /// The page is an asset, by its extension.
    Asset,
    /// The user agent is a known bot.
    Bot,
    /// The time is more than five minutes ahead: a clock was wrong. The line can be counted later, with `--again`.
    Future,
    /// An event, and not a page view, in an export of counts.
    Event,
    /// A count of no views.
    NoViews,
    /// The path can't be a page's name: it is empty, too long, or has characters that names may not have.
    PageName,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Method => "method other than GET",
            Self::Status => "status other than 2xx or 304",
            Self::Asset => "asset",
            Self::Bot => "known bot",
            Self::Future => "time in the future",
            Self::Event => "event",
            Self::NoViews => "no views",
            Self::PageName => "unusable page name",
        })
    }
}

impl Rules {
    /// Parses a line and decides whether it is a page view. Returns none for a line that is no request.
    pub(crate) fn judge_line<'a>(
        &self,
        parser: &mut Parser,
        line: Line<'a>,
        now: DateTime<Utc>,
    ) -> Option<Result<(DateTime<Utc>, Verdict<'a>), LineError>> {
        if line.is_too_long {
            return Some(Err(LineError::TooLong { bytes_max: LINE_BYTES_MAX }));
        }
        parser.parse(line.text).transpose().map(|line| line.map(|line| (line.time, self.judge(line, now))))
    }

    fn judge<'a>(&self, line: LogLine<'a>, now: DateTime<Utc>) -> Verdict<'a> {
        match self.reason_to_leave_out(&line, page(&line.target), now) {
            Some(reason) => Verdict::LeftOut(reason),
            None => Verdict::Counted {
                hour: Hour::containing(line.time),
                page: match line.target {
                    Cow::Borrowed(target) => page(target).into(),
                    Cow::Owned(target) => page(&target).to_owned().into(),
                },
            },
        }
    }

    fn reason_to_leave_out(&self, line: &LogLine<'_>, page: &str, now: DateTime<Utc>) -> Option<LeftOut> {
        if *line.method != *b"GET" {
            Some(LeftOut::Method)
        } else if !matches!(line.status, 200..=299 | 304) {
            Some(LeftOut::Status)
        } else if !self.include_assets && self.is_asset(page) {
            Some(LeftOut::Asset)
        } else if !self.include_bots && line.user_agent.as_deref().is_some_and(bots::is_known_bot) {
            Some(LeftOut::Bot)
        } else if line.time.signed_duration_since(now) > AHEAD_MAX {
            Some(LeftOut::Future)
        } else if page.is_empty() || page.len() > PAGE_BYTES_MAX || !page.chars().all(is_allowed_in_names) {
            Some(LeftOut::PageName)
        } else {
            None
        }
    }

    fn is_asset(&self, page: &str) -> bool {
        let last_segment = page.rsplit('/').next().unwrap_or(page);
        let Some((_, extension)) = last_segment.rsplit_once('.') else { return false };
        let in_order = |asset: &&str| asset.bytes().cmp(extension.bytes().map(|byte| byte.to_ascii_lowercase()));
        ASSET_EXTENSIONS.binary_search_by(in_order).is_ok()
            || self.assets.iter().any(|asset| asset.eq_ignore_ascii_case(extension))
    }
}

/// Returns the path of a target, without scheme, host, query and fragment, and otherwise unchanged.
fn page(target: &str) -> &str {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let path = &target[..end];
    match path.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        _ => path,
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0";
    const BOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

    fn line(target: &str) -> LogLine<'_> {
        let time = "2015-05-17T10:59:59Z".parse().unwrap();
        LogLine {
            method: Cow::from(&b"GET"[..]),
            target: target.into(),
            status: 200,
            time,
            user_agent: Some(Cow::from(BROWSER)),
        }
    }

    fn judged_by<'a>(rules: &Rules, line: &LogLine<'a>) -> Verdict<'a> {
        rules.judge(line.clone(), "2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn judged<'a>(line: &LogLine<'a>) -> Verdict<'a> {
        judged_by(&Rules::default(), line)
    }

    #[test]
    fn page_is_the_path_as_written() {
        for (target, expected) in [
            ("/", "/"),
            ("/a/B%20c/?q=/d.png#e", "/a/B%20c/"),
            ("/a#b?c", "/a"),
            ("//a/../b", "//a/../b"),
            ("/to?http://e.org/c", "/to"),
            ("/to/http://e.org/c", "/to/http://e.org/c"),
            ("http://e.org/a/b?c", "/a/b"),
            ("HTTPS://e.org:443", "/"),
            ("http://e.org?c/d", "/"),
        ] {
            let hour = Hour::containing("2015-05-17T10:00:00Z".parse().unwrap());
            assert_eq!(judged(&line(target)), Verdict::Counted { page: expected.into(), hour }, "{target}");
        }
    }

    #[test]
    fn only_successful_get_requests_count() {
        for method in [&b"HEAD"[..], b"POST", b"get", b"-", b""] {
            let line = LogLine { method: method.into(), ..line("/") };
            assert_eq!(judged(&line), Verdict::LeftOut(LeftOut::Method), "{method:?}");
        }
        for (status, counts) in [(0, false), (199, false), (200, true), (206, true), (299, true), (301, false)]
            .into_iter()
            .chain([(304, true), (404, false), (500, false)])
        {
            let line = LogLine { status, ..line("/") };
            assert_eq!(matches!(judged(&line), Verdict::Counted { .. }), counts, "{status}");
        }
    }

    #[test]
    fn assets_are_recognized_by_the_extension_of_the_last_segment() {
        for (target, asset) in [
            ("/a.png", true),
            ("/a.min.CSS?v=1", true),
            ("/site.webmanifest", true),
            ("/fonts/a.OTF", true),
            ("/a.7z", true),
            ("/a.zst", true),
            ("/a.tar.bz2", true),
            ("/a.", false),
            ("/a.é", false),
            ("/.js", true),
            ("http://e.org/favicon.ico", true),
            ("/a.png/", false),
            ("/v1.js/page", false),
            ("/css", false),
            ("/a.html", false),
            ("/a.pngx", false),
            ("/?a.png", false),
        ] {
            let left_out = judged(&line(target)) == Verdict::LeftOut(LeftOut::Asset);
            assert_eq!(left_out, asset, "{target}");
            let rules = Rules { include_assets: true, ..Rules::default() };
            assert!(matches!(judged_by(&rules, &line(target)), Verdict::Counted { .. }), "{target}");
        }
    }

    #[test]
    fn every_asset_is_found_by_its_extension() {
        assert!(ASSET_EXTENSIONS.is_sorted());
        for extension in ASSET_EXTENSIONS {
            assert!(
                Rules::default().is_asset(&format!("/a.{extension}"))
                    && Rules::default().is_asset(&format!("/a.{}", extension.to_ascii_uppercase()))
            );
        }
    }

    #[test]
    fn known_bots_are_left_out_and_requests_without_user_agent_count() {
        let bot = LogLine { user_agent: Some(Cow::from(BOT)), ..line("/") };
        assert_eq!(judged(&bot), Verdict::LeftOut(LeftOut::Bot));
        let rules = Rules { include_bots: true, ..Rules::default() };
        assert!(matches!(judged_by(&rules, &bot), Verdict::Counted { .. }));
        let unknown = LogLine { user_agent: None, ..line("/") };
        assert!(matches!(judged(&unknown), Verdict::Counted { .. }));
        let long = LogLine { user_agent: Some(Cow::from("é".repeat(1_024))), ..line("/") };
        assert!(matches!(judged(&long), Verdict::Counted { .. }));
    }

    #[test]
    fn path_that_cannot_be_a_page_name_is_left_out() {
        let longest = format!("/{}", "a".repeat(PAGE_BYTES_MAX - 1));
        assert!(matches!(judged(&line(&longest)), Verdict::Counted { .. }));
        for target in [&format!("{longest}a"), "/a\tb", "/a\u{7f}", "/\u{85}", "/a\u{202e}b", "/\u{2066}", "", "?q"] {
            assert_eq!(judged(&line(target)), Verdict::LeftOut(LeftOut::PageName), "{target:?}");
        }
    }

    #[test]
    fn clock_of_a_log_may_be_five_minutes_ahead() {
        for (time, counts) in [("2026-01-01T00:05:00Z", true), ("2026-01-01T00:05:01Z", false)] {
            let line = LogLine { time: time.parse().unwrap(), ..line("/") };
            assert_eq!(judged(&line) != Verdict::LeftOut(LeftOut::Future), counts, "{time}");
        }
    }

    #[test]
    fn further_extensions_of_assets_can_be_given() {
        let rules = Rules { assets: vec!["page".to_owned()], ..Rules::default() };
        assert_eq!(judged_by(&rules, &line("/a.PAGE")), Verdict::LeftOut(LeftOut::Asset));
        assert!(matches!(judged(&line("/a.page")), Verdict::Counted { .. }));
        assert_eq!(rules.to_string(), "--asset page");
    }

    #[test]
    fn first_of_several_reasons_is_given() {
        let mut worst = LogLine {
            method: Cow::from(&b"PUT"[..]),
            status: 404,
            user_agent: Some(Cow::from(BOT)),
            ..line("/\t.png")
        };
        assert_eq!(judged(&worst), Verdict::LeftOut(LeftOut::Method));
        worst.method = Cow::from(&b"GET"[..]);
        assert_eq!(judged(&worst), Verdict::LeftOut(LeftOut::Status));
        worst.status = 200;
        assert_eq!(judged(&worst), Verdict::LeftOut(LeftOut::Asset));
        worst.target = "/\t".into();
        assert_eq!(judged(&worst), Verdict::LeftOut(LeftOut::Bot));
    }
}
