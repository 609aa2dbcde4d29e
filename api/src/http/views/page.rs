//! The names of viewed pages: the path as browsers request it, behind the prefix of its site.

use axum::http::{HeaderMap, header};
use increments::{PageName, ValidationError};
use url::{Url, form_urlencoded::Serializer};

use crate::access::Site;

/// The reason why a view is of no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PageError {
    /// The request does not say which page was viewed.
    #[error("page must be given: a path that begins with /, or a URL of the site")]
    Missing,
    /// Neither the request nor its `referer` says which page was viewed.
    #[error(
        "page must be given: a path that begins with /, or a URL of the site. It may be left out where the header referer \
         has a path other than /, as it has from an image with referrerpolicy=\"no-referrer-when-downgrade\""
    )]
    MissingInReferer,
    /// The page is none of the site.
    #[error("page must be a path that begins with /, or a URL of {0}")]
    Elsewhere(String),
    /// The name is too long.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
}

/// Returns the name of a page of `site`, which is a path or a URL: the site's prefix, the path as browsers request it,
/// and the parameters that are `kept`, in the order of their names. Everything else of the query and the fragment are
/// cut.
///
/// # Errors
/// When it is no page of the site, or its name is too long.
pub(super) fn name(site: &Site, page: &str, kept: &[String]) -> Result<PageName, PageError> {
    let url = if page.starts_with('/') { format!("{}{page}", site.origin()) } else { page.to_owned() };
    let url = Url::parse(&url).ok().filter(|url| url.origin().ascii_serialization() == site.origin());
    let url = url.ok_or_else(|| PageError::Elsewhere(site.origin().to_owned()))?;
    let mut pairs: Vec<_> = url.query_pairs().filter(|(name, _)| kept.iter().any(|kept| kept == name)).collect();
    // Stable: the values of a parameter that is there several times stay in their order.
    pairs.sort_by(|(name, _), (other, _)| name.cmp(other));
    let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
    let separator = if query.is_empty() { "" } else { "?" };
    Ok(PageName::new(format!("{}{}{separator}{query}", site.prefix(), url.path()))?)
}

/// Returns the `referer`, if it names a page: one whose path is `/` may be a site's first page, but also any page that
/// tells only its origin, as pages do by default to other origins.
pub(super) fn of_referer(headers: &HeaderMap) -> Option<&str> {
    let referer = headers.get(header::REFERER)?.to_str().ok()?;
    Url::parse(referer).is_ok_and(|url| url.path() != "/").then_some(referer)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn named(site: &str, page: &str, kept: &[&str]) -> Result<String, String> {
        let kept: Vec<_> = kept.iter().map(|name| (*name).to_owned()).collect();
        let name = name(&site.parse().unwrap(), page, &kept);
        name.map(|name| name.as_str().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn name_is_the_path_as_browsers_request_it_behind_the_prefix() {
        for (page, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a?b=1#c", "/a"),
            ("/a#b?c", "/a"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/café", "/caf%C3%A9"),
            ("/a b", "/a%20b"),
            ("/a/../b/./c", "/b/c"),
            ("//b.example/a", "//b.example/a"),
            ("/\\b.example/a", "//b.example/a"),
            ("/a\0\u{202e}", "/a%00%E2%80%AE"),
            ("https://a.example/x?y", "/x"),
            ("https://a.example", "/"),
            ("HTTPS://A.EXAMPLE:443/x", "/x"),
        ] {
            assert_eq!(named("https://a.example", page, &[]).as_deref(), Ok(expected), "{page}");
            let behind = format!("/blog{expected}");
            assert_eq!(named("https://a.example=/blog/", page, &[]), Ok(behind), "{page}");
        }
    }

    #[test]
    fn page_of_another_site_is_refused() {
        let message = "page must be a path that begins with /, or a URL of https://a.example";
        for page in
            ["", "a", "?a", "#a", "https://b.example/", "http://a.example/", "https://a.example.b/", "data:,", "\\a"]
        {
            assert_eq!(named("https://a.example", page, &[]), Err(message.to_owned()), "{page}");
        }
        let long = named("https://a.example=/blog", &format!("/{}", "a".repeat(1_019)), &[]);
        assert_eq!(long, Err("page must be 1 to 1024 bytes long, not 1025".to_owned()));
    }

    #[test]
    fn kept_parameters_are_in_the_order_of_their_names() {
        for (page, expected) in [
            ("/?b=2&a=1&c=3", "/?a=1&b=2"),
            ("/?a=1&b=2", "/?a=1&b=2"),
            ("/?b=2", "/?b=2"),
            ("/?b=2&b=1&a", "/?a=&b=2&b=1"),
            ("/?%61=x%20y+z&A=1#a=2", "/?a=x+y+z"),
            ("/?c=3", "/"),
            ("/?", "/"),
        ] {
            assert_eq!(named("https://a.example", page, &["b", "a"]).as_deref(), Ok(expected), "{page}");
        }
    }

    #[test]
    fn referer_is_a_page_if_it_has_a_path() {
        for (referer, is_page) in [
            ("https://a.example/x", true),
            ("https://a.example/", false),
            ("https://a.example/?x", false),
            ("x", false),
        ] {
            let headers = [(header::REFERER, HeaderValue::from_static(referer))].into_iter().collect();
            assert_eq!(of_referer(&headers).is_some(), is_page, "{referer}");
        }
    }

    proptest! {
        /// A page has one name, however its view is told, and the name is one that `PageName` takes.
        #[test]
        fn name_of_a_name_is_the_name(page in "/\\PC{0,60}") {
            if let Ok(once) = named("https://a.example", &page, &["a"]) {
                prop_assert_eq!(named("https://a.example", &once, &["a"]).unwrap(), once.clone());
                prop_assert_eq!(named("https://a.example", &format!("https://a.example{page}"), &["a"]).unwrap(), once);
            }
        }
    }
}
