//! The fields of a view, in every form in which a beacon can send them without a preflight request.

use std::convert::Infallible;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;
use serde_json::{Map, Value};
use url::form_urlencoded;

/// The fields of a view. Others are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) page: Option<String>,
    pub(super) title: Option<String>,
    /// The URL of the page's site, for an image whose request does not tell it.
    pub(super) site: Option<String>,
}

/// The form of a view's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// A text: a JSON object, or else the fields of a form.
    Text,
    /// A form, as `URLSearchParams` and forms of pages send it.
    Form,
    /// A form, as `FormData` sends it, with its boundary.
    Multipart(String),
}

/// The reason why a view's fields can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FieldError {
    #[error(
        "content-type must be text/plain, application/x-www-form-urlencoded, multipart/form-data or application/json"
    )]
    Kind,
    #[error("the body must not be compressed: content-encoding is not supported")]
    Compressed,
    #[error("the view's fields can't be read: {0}")]
    Unreadable(String),
    #[error("{0} must be a string")]
    NoText(&'static str),
}

impl BodyKind {
    /// Returns the form of a body with these headers. One without a type is a text.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, FieldError> {
        let is_plain = |encoding: &[u8]| encoding.eq_ignore_ascii_case(b"identity");
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| !is_plain(encoding.as_bytes())) {
            return Err(FieldError::Compressed);
        }
        let content_type = headers.get(header::CONTENT_TYPE).map_or(Ok(""), |value| value.to_str());
        let content_type = content_type.map_err(|_not_ascii| FieldError::Kind)?;
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "" | "text/plain" | "application/json" => Ok(Self::Text),
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            "multipart/form-data" => {
                let boundary = multer::parse_boundary(content_type);
                boundary.map(Self::Multipart).map_err(|error| FieldError::Unreadable(error.to_string()))
            }
            _ => Err(FieldError::Kind),
        }
    }

    /// Reads the fields of a body of this form.
    pub(super) async fn read(self, body: &[u8]) -> Result<Fields, FieldError> {
        match self {
            Self::Text if body.trim_ascii_start().starts_with(b"{") => Fields::of_json(body),
            Self::Text | Self::Form => Ok(Fields::of_form(body)),
            Self::Multipart(boundary) => Fields::of_multipart(body, boundary).await,
        }
    }
}

impl Fields {
    /// Sets a field unless it is set already or not known.
    fn set(&mut self, name: &str, value: impl FnOnce() -> String) {
        let field = match name {
            "page" => &mut self.page,
            "title" => &mut self.title,
            "site" => &mut self.site,
            _ => return,
        };
        field.get_or_insert_with(value);
    }

    /// Reads the fields of a form or of a query.
    pub(super) fn of_form(form: &[u8]) -> Self {
        let mut fields = Self::default();
        for (name, value) in form_urlencoded::parse(form.trim_ascii()) {
            fields.set(&name, || value.into_owned());
        }
        fields
    }

    fn of_json(json: &[u8]) -> Result<Self, FieldError> {
        let object = serde_json::from_slice::<Map<String, Value>>(json);
        let mut object = object.map_err(|error| FieldError::Unreadable(error.to_string()))?;
        let mut text = |name| match object.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(FieldError::NoText(name)),
        };
        Ok(Self { page: text("page")?, title: text("title")?, site: None })
    }

    async fn of_multipart(body: &[u8], boundary: String) -> Result<Self, FieldError> {
        let unreadable = |error: multer::Error| FieldError::Unreadable(error.to_string());
        let body = Bytes::copy_from_slice(body);
        let mut parts = Multipart::new(stream::once(async { Ok::<_, Infallible>(body) }), boundary);
        let mut fields = Self::default();
        while let Some(part) = parts.next_field().await.map_err(unreadable)? {
            let name = part.name().unwrap_or_default().to_owned();
            let text = part.bytes().await.map_err(unreadable)?;
            fields.set(&name, || String::from_utf8_lossy(&text).into_owned());
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";
    const MULTIPART: &str = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW";

    fn kind(content_type: &str) -> Result<BodyKind, FieldError> {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())].into_iter().collect();
        BodyKind::of(&headers)
    }

    async fn read(content_type: &str, body: &str) -> Result<Fields, FieldError> {
        kind(content_type)?.read(body.as_bytes()).await
    }

    fn fields(page: Option<&str>, title: Option<&str>) -> Fields {
        Fields { page: page.map(str::to_owned), title: title.map(str::to_owned), site: None }
    }

    /// Writes fields as browsers send a `FormData`.
    fn multipart(fields: &[(&str, &str)]) -> String {
        let part = |(name, value): &(&str, &str)| {
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        fields.iter().map(part).collect::<String>() + &format!("--{BOUNDARY}--\r\n")
    }

    #[tokio::test]
    async fn fields_are_read_from_every_form_that_a_beacon_has() {
        let expected = Ok(fields(Some("/a b"), Some("é")));
        let json = r#" {"other": [{}], "title": "é", "page": "/a b"}"#;
        let form = "title=%C3%A9&other=1&page=/a+b&page=/second";
        let text = multipart(&[("title", "é"), ("other", "{"), ("page", "/a b"), ("page", "/second")]);
        for (content_type, body) in [
            ("text/plain;charset=UTF-8", json),
            ("TEXT/PLAIN", form),
            ("", json),
            ("application/json", json),
            ("application/x-www-form-urlencoded;charset=UTF-8", form),
            (MULTIPART, &text),
        ] {
            assert_eq!(read(content_type, body).await, expected, "{content_type} {body}");
        }
        for empty in ["", "{}", r#"{"page":null}"#, "&", "x"] {
            assert_eq!(read("text/plain", empty).await, Ok(fields(None, None)), "{empty}");
        }
        assert_eq!(BodyKind::of(&HeaderMap::new()), Ok(BodyKind::Text));
    }

    #[tokio::test]
    async fn unreadable_body_is_refused_with_the_reason() {
        for (content_type, body, reason) in [
            ("text/html", "", "content-type must be text/plain"),
            ("application/graphql", "", "content-type must be"),
            ("text/plain", r#"{"page": 1}"#, "page must be a string"),
            ("text/plain", r#"{"page": "/", "title": []}"#, "title must be a string"),
            ("text/plain", r#"{"page": "/""#, "can't be read: EOF"),
            ("text/plain", "{\"page\": \"\u{1}\"}", "can't be read: control character"),
            ("multipart/form-data", "", "can't be read: "),
            ("multipart/form-data; boundary=B", "", "can't be read: "),
            (
                "multipart/form-data; boundary=B",
                "--B\r\nContent-Disposition: form-data; name=\"page\"\r\n\r\n/",
                "can't be",
            ),
        ] {
            let error = read(content_type, body).await.unwrap_err().to_string();
            assert!(error.contains(reason), "{content_type} {body}: {error}");
        }
        let encoded = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))].into_iter().collect();
        assert_eq!(BodyKind::of(&encoded), Err(FieldError::Compressed));
    }

    proptest! {
        /// What a page sends is what is read, in every form.
        #[test]
        fn fields_survive_every_form(page in "[^\r\n]{1,40}", title in "[^\r\n]{0,40}") {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let expected = fields(Some(&page), Some(&title));
            let pairs = [("page", &page), ("title", &title)];
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            let json = serde_json::json!({ "page": page, "title": title }).to_string();
            let parts = multipart(&[("page", &page), ("title", &title)]);
            for (content_type, body) in [
                ("text/plain", &form), ("text/plain", &json), ("application/x-www-form-urlencoded", &form),
                (MULTIPART, &parts),
            ] {
                prop_assert_eq!(runtime.block_on(read(content_type, body)), Ok(expected.clone()), "{}", body);
            }
        }

        /// No body makes the reader fail otherwise than by an error.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for kind in [BodyKind::Text, BodyKind::Form, BodyKind::Multipart("B".to_owned())] {
                drop(runtime.block_on(kind.read(&bytes)));
            }
        }
    }
}
