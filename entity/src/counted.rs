//! What was counted of a chunk: views by page and hour, and its form in the database.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, IntoInnerError, Read, Write},
};

use crate::Hour;
use chrono::DateTime;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

/// The views of a chunk, by page and hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    views: BTreeMap<(String, Hour), i64>,
    /// The first title of each page that has one. Titles are not stored with the chunk.
    titles: BTreeMap<String, String>,
}

impl Counted {
    /// Adds views of a page in an hour.
    pub fn add(&mut self, page: &str, hour: Hour, views: i64) {
        *self.views.entry((page.to_owned(), hour)).or_default() += views;
    }

    /// Notes the title of a page, unless it has one.
    pub fn add_title(&mut self, page: &str, title: String) {
        if !self.titles.contains_key(page) {
            self.titles.insert(page.to_owned(), title);
        }
    }

    /// Returns the title of a page, if it has one.
    #[must_use]
    pub fn title(&self, page: &str) -> Option<&str> {
        self.titles.get(page).map(String::as_str)
    }

    /// Adds all views of `other`.
    pub fn add_all(&mut self, other: &Self) {
        other.iter().for_each(|(page, hour, views)| self.add(page, hour, views));
    }

    /// Returns pages, hours and views, in the order of pages.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Hour, i64)> {
        self.views.iter().map(|((page, hour), views)| (page.as_str(), *hour, *views))
    }

    /// Returns the sum of the views.
    #[must_use]
    pub fn views(&self) -> i64 {
        self.views.values().sum()
    }

    /// Returns the views that `self` has more than `other`, and the number of views that it has less.
    #[must_use]
    pub fn minus(&self, other: &Self) -> (Self, i64) {
        let mut more = Self::default();
        for (page, hour, views) in self.iter() {
            let counted = other.views.get(&(page.to_owned(), hour)).copied().unwrap_or_default();
            if views > counted {
                more.add(page, hour, views - counted);
            }
        }
        let less = other.views() - (self.views() - more.views());
        (more, less)
    }

    /// Returns the form in the database: see `entity::import_count`.
    ///
    /// # Errors
    /// Never: it is written into memory.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        // Each write to the encoder clears its whole buffer.
        let mut encoder = BufWriter::new(ZlibEncoder::new(Vec::new(), Compression::fast()));
        for (page, hour, views) in self.iter() {
            // No page's name has a tab or a line end.
            writeln!(encoder, "{}\t{views}\t{page}", hour.since(epoch()))?;
        }
        encoder.into_inner().map_err(IntoInnerError::into_error)?.finish()
    }

    /// Reads the form in the database.
    ///
    /// # Errors
    /// When the form is not that of [`encode`](Self::encode).
    pub fn decode(encoded: &[u8]) -> io::Result<Self> {
        let mut text = String::new();
        ZlibDecoder::new(encoded).read_to_string(&mut text)?;
        let mut counted = Self::default();
        for line in text.lines() {
            let mut fields = line.splitn(3, '\t');
            let hour = fields.next().and_then(|hour| hour.parse().ok());
            let views = fields.next().and_then(|views| views.parse().ok());
            let (Some(hour), Some(views), Some(page)) = (hour, views, fields.next()) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the stored counts of a chunk are damaged"));
            };
            counted.add(page, epoch().plus(hour), views);
        }
        Ok(counted)
    }
}

fn epoch() -> Hour {
    Hour::containing(DateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(views: &[(&str, i32, i64)]) -> Counted {
        let mut counted = Counted::default();
        views.iter().for_each(|(page, hour, views)| counted.add(page, epoch().plus(*hour), *views));
        counted
    }

    #[test]
    fn counts_are_read_back() {
        let written = counted(&[("/", 5, 1), ("/ä b", -3, 2), ("/ä b", 500_000, 10_000)]);
        assert_eq!(Counted::decode(&written.encode().unwrap()).unwrap(), written);
        assert_eq!(Counted::decode(&Counted::default().encode().unwrap()).unwrap(), Counted::default());
        assert!(Counted::decode(b"nonsense").is_err());
    }

    #[test]
    fn difference_is_what_is_more_and_how_much_is_less() {
        let (now, then) = (counted(&[("/a", 1, 3), ("/b", 1, 1)]), counted(&[("/a", 1, 1), ("/c", 1, 2)]));
        assert_eq!(now.minus(&then), (counted(&[("/a", 1, 2), ("/b", 1, 1)]), 2));
        assert_eq!(then.minus(&then), (Counted::default(), 0));
    }
}
