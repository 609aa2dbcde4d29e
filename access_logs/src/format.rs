//! The formats and their names.

use std::fmt;
use std::str::FromStr;

use crate::template::{Template, TemplateError};

/// A format of access logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// The common and the combined format with anything before and after, Amazon S3's and Envoy's.
    Combined,
    /// A JSON object on each line.
    Json,
    /// The W3C extended format, with `#Fields` lines.
    W3c,
    /// AWS's application load balancer, and the classic one.
    LoadBalancer,
    /// HAProxy's HTTP format.
    HaProxy,
    /// As it is written in a configuration of nginx or Apache.
    Template(Box<Template>),
}

/// The names that `--format` takes. The first one of each format is the one that is printed.
const NAMES: [(&str, Format); 13] = [
    ("combined", Format::Combined),
    ("common", Format::Combined),
    ("aws-s3", Format::Combined),
    ("envoy", Format::Combined),
    ("json", Format::Json),
    ("caddy", Format::Json),
    ("cloudflare", Format::Json),
    ("w3c", Format::W3c),
    ("iis", Format::W3c),
    ("cloudfront", Format::W3c),
    ("aws-alb", Format::LoadBalancer),
    ("aws-elb", Format::LoadBalancer),
    ("haproxy", Format::HaProxy),
];

/// The text is neither the name of a format nor a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// There is no format of that name.
    #[error(
        "it is neither one of {} nor a template of nginx ($request) or Apache (%r)",
        NAMES.map(|(name, _)| name).join(", ")
    )]
    Name,
    /// The text is a template that can't be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Template(template) = self {
            return template.fmt(f);
        }
        let name = NAMES.iter().find(|(_, format)| format == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let named = NAMES.into_iter().find(|(name, _)| *name == text).map(|(_, format)| format);
        match named {
            Some(format) => Ok(format),
            None if text.contains(['$', '%']) => Ok(Self::Template(Box::new(Template::new(text)?))),
            None => Err(FormatError::Name),
        }
    }
}
