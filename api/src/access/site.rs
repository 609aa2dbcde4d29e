//! Sites: the origins whose pages may have their views recorded by browsers, without a token.
//!
//! Browsers name a request's page in `origin` or `referer`, which scripts can't set. So a foreign page can't make a
//! visitor's browser record anything, not even on a server where everything is open.

use std::{collections::HashMap, str::FromStr};

use axum::http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use url::{Position, Url};

/// The most sites.
const SITES_MAX: usize = 1_000;
/// The most bytes of the prefix of a site's pages, so that it leaves room for their paths.
const PREFIX_BYTES_MAX: usize = 256;

/// A site whose pages may have their views recorded by browsers: an origin, and a prefix for the names of its pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Site {
    /// The origin as browsers write it, such as `https://example.org`.
    origin: String,
    /// Empty, or a path without a slash at its end, such as `/blog`.
    prefix: String,
}

/// The error for a text that is not a site.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a site is http:// or https:// and a host, perhaps :PORT, perhaps =PREFIX, where PREFIX begins with / and has at \
     most {PREFIX_BYTES_MAX} bytes, no ? and no #, such as https://example.org or https://blog.example.org=/blog"
)]
pub struct ParseSiteError;

impl FromStr for Site {
    type Err = ParseSiteError;

    fn from_str(text: &str) -> Result<Self, ParseSiteError> {
        let (address, prefix) = text.split_once('=').unwrap_or((text, "/"));
        let url: Url = address.parse().map_err(|_not_a_url| ParseSiteError)?;
        let is_origin = ["http", "https"].contains(&url.scheme())
            && url[Position::BeforeUsername..Position::BeforeHost].is_empty()
            && &url[Position::BeforePath..] == "/"
            && !address.contains(['*', '\\']);
        if !is_origin || !prefix.starts_with('/') || prefix.contains(['?', '#']) {
            return Err(ParseSiteError);
        }
        let origin = url.origin().ascii_serialization();
        let prefixed: Url = format!("{origin}{prefix}").parse().map_err(|_not_a_path| ParseSiteError)?;
        let prefix = prefixed.path().trim_end_matches('/').to_owned();
        if prefix.len() > PREFIX_BYTES_MAX { Err(ParseSiteError) } else { Ok(Self { origin, prefix }) }
    }
}

impl Site {
    /// Returns the site's origin, such as `https://example.org`.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns what precedes the paths of the site's pages in their names: empty, or such as `/blog`.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// The sites of a server, by their origins.
#[derive(Debug, Default)]
pub(super) struct Sites(HashMap<String, Site>);

/// An error in the list of sites.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SitesError {
    /// A site is named twice, so that the prefix of its pages is not known.
    #[error("--site names {0} twice: a site has one prefix")]
    Twice(String),
    /// There are more sites than allowed.
    #[error("there must be at most {SITES_MAX} sites (--site)")]
    TooMany,
}

/// The reason why a request's views are not recorded.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SiteError {
    /// The server has no sites.
    #[error("no views are recorded from pages, because no site is named with --site")]
    NoSites,
    /// The request comes from a page of another site.
    #[error("the page is none of a site that is named with --site: its origin is in the header origin, or referer")]
    OtherSite,
    /// The request does not tell where it comes from.
    #[error("the page's site must be told by the header origin or referer, or for an image by the parameter site")]
    Unknown,
    /// The parameter `site` is none of the sites.
    #[error("site must be one that is named with --site, such as https://example.org")]
    NotNamed,
}

impl Sites {
    /// Returns the sites of a list.
    ///
    /// # Errors
    /// When a site is there twice, or there are too many.
    pub(super) fn new(sites: &[Site]) -> Result<Self, SitesError> {
        if sites.len() > SITES_MAX {
            return Err(SitesError::TooMany);
        }
        let mut by_origin = HashMap::new();
        for site in sites {
            if by_origin.insert(site.origin.clone(), site.clone()).is_some() {
                return Err(SitesError::Twice(site.origin.clone()));
            }
        }
        Ok(Self(by_origin))
    }

    /// Returns the origins of all sites as they stand in headers.
    pub(super) fn origins(&self) -> Vec<HeaderValue> {
        self.0.keys().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect()
    }

    /// Returns the site of the page that sent a request: by its `origin`, else by its `referer`, and if it has neither
    /// by `named`, a site's URL.
    ///
    /// # Errors
    /// When that is none of the sites.
    pub(super) fn of_request(&self, headers: &HeaderMap, named: Option<&str>) -> Result<&Site, SiteError> {
        if self.0.is_empty() {
            return Err(SiteError::NoSites);
        }
        let sent = headers.get(header::ORIGIN).or_else(|| headers.get(header::REFERER));
        match (sent, named) {
            (Some(sent), _) => self.find(sent.to_str().unwrap_or_default()).ok_or(SiteError::OtherSite),
            (None, Some(named)) => self.find(named).ok_or(SiteError::NotNamed),
            (None, None) => Err(SiteError::Unknown),
        }
    }

    /// Returns the site that a URL belongs to.
    fn find(&self, url: &str) -> Option<&Site> {
        // An opaque origin, such as that of `null`, is written as a text that is no site's.
        self.0.get(&Url::parse(url).ok()?.origin().ascii_serialization())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_is_an_origin_and_perhaps_a_prefix() {
        for (text, origin, prefix) in [
            ("https://example.org", "https://example.org", ""),
            ("HTTPS://Example.ORG:443/", "https://example.org", ""),
            ("http://example.org:8080=/", "http://example.org:8080", ""),
            ("http://localhost:3000", "http://localhost:3000", ""),
            ("http://[::1]:80", "http://[::1]", ""),
            ("https://blog.example.org=/blog", "https://blog.example.org", "/blog"),
            ("https://blog.example.org/=/blog/", "https://blog.example.org", "/blog"),
            ("https://exämple.org=/ä/=b", "https://xn--exmple-cua.org", "/%C3%A4/=b"),
        ] {
            let site: Site = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!((site.origin(), site.prefix()), (origin, prefix), "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "example.org",
            "//example.org",
            "https://",
            "https://*.example.org",
            "https://me@example.org",
            "https://example.org/path",
            "https://example.org?",
            "https://example.org#",
            "file:///srv/www",
            "ftp://example.org",
            "https://example.org=",
            "https://example.org=blog",
            "https://example.org=/a?b",
            "https://example.org=/a#b",
            &format!("https://example.org=/{}", "a".repeat(PREFIX_BYTES_MAX)),
        ] {
            assert_eq!(text.parse::<Site>(), Err(ParseSiteError), "{text}");
        }
    }

    fn sites(texts: &[&str]) -> Result<Sites, SitesError> {
        Sites::new(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn site_has_one_prefix() {
        let twice = sites(&["https://example.org", "https://EXAMPLE.org:443=/blog"]).unwrap_err();
        assert_eq!(twice, SitesError::Twice("https://example.org".to_owned()));
        assert!(sites(&["https://example.org", "http://example.org", "https://www.example.org"]).is_ok());
        let many: Vec<_> = (0..=SITES_MAX).map(|number| format!("https://{number}.example.org")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(sites(&many[1..]).is_ok());
        assert_eq!(sites(&many).unwrap_err(), SitesError::TooMany);
    }

    #[test]
    fn site_is_told_by_origin_then_referer_then_parameter() {
        let sites = sites(&["https://a.example", "https://b.example:8443=/b"]).unwrap();
        let (a, b, foreign) = ("https://a.example", "https://b.example:8443", "https://a.example.evil.example");
        for (origin, referer, named, expected) in [
            (Some(a), None, None, Ok(a)),
            (Some(b), Some("https://a.example/page"), Some(a), Ok(b)),
            (None, Some("https://b.example:8443/page?q"), Some(a), Ok(b)),
            (None, None, Some("https://a.example/"), Ok(a)),
            (Some(foreign), Some("https://a.example/page"), Some(a), Err(SiteError::OtherSite)),
            (Some("null"), None, Some(a), Err(SiteError::OtherSite)),
            (Some(""), None, Some(a), Err(SiteError::OtherSite)),
            (Some("http://a.example"), None, None, Err(SiteError::OtherSite)),
            (Some("https://b.example"), None, None, Err(SiteError::OtherSite)),
            (None, Some("https://evil.example/?https://a.example/"), Some(a), Err(SiteError::OtherSite)),
            (None, Some("https://a.example@evil.example/"), None, Err(SiteError::OtherSite)),
            (None, None, Some(foreign), Err(SiteError::NotNamed)),
            (None, None, Some("a.example"), Err(SiteError::NotNamed)),
            (None, None, None, Err(SiteError::Unknown)),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::ORIGIN, origin), (header::REFERER, referer)] {
                headers.extend(value.map(|value| (name, HeaderValue::from_str(value).unwrap())));
            }
            let found = sites.of_request(&headers, named).map(Site::origin);
            assert_eq!(found, expected, "{origin:?} {referer:?} {named:?}");
        }
        let none = Sites::default();
        assert_eq!(none.of_request(&HeaderMap::new(), Some(a)), Err(SiteError::NoSites));
    }
}
