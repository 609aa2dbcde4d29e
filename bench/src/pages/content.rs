//! The pages and their counts: the same rows for every database, and in every run of a day.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use entity::Hour;
use rand::{
    SeedableRng,
    distr::{Distribution, Uniform},
    rngs::StdRng,
};
use rand_distr::Zipf;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::PageSettings;

/// Zipf's exponent, as the popularity of web pages has it.
const EXPONENT: f64 = 1.0;
const SEED: u64 = 42;
/// How many counts change in a refresh that is measured: as many as a request may have increments.
pub(super) const CHANGED: u32 = 10_000;
/// The shares of the rows that the days up to an age have.
const SHARES: [(i32, f64); 3] = [(30, 0.6), (365, 0.25), (i32::MAX, 0.15)];
/// Of all pairs of a page and an hour, at most this share has a row: more would take endless draws.
const FILLED_MAX: f64 = 0.6;
/// The ages of the days without counts, for refreshes of new rows: the first one's, and from one to the next.
const EMPTY_DAYS: (i32, i32) = (40, 10);
/// How much is viewed in each hour of a day, beside the others.
const HOURS: [usize; 24] = [1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 3, 3, 2, 1];
const HOURS_PER_DAY: i32 = 24;
/// Ranks times this, modulo the number of pages, are pages: so that what is viewed most is spread over the names.
const SPREAD: u64 = 7_368_787;

const WORDS: [&str; 64] = [
    "amber", "apple", "basin", "beach", "birch", "bread", "brick", "bridge", "cabin", "candle", "canyon", "cedar",
    "chalk", "cherry", "cloud", "clover", "copper", "coral", "cotton", "crane", "delta", "desert", "ember", "fable",
    "falcon", "fern", "field", "flint", "forest", "frost", "garden", "glade", "grain", "harbor", "hazel", "honey",
    "island", "ivory", "jungle", "kettle", "lagoon", "lemon", "linen", "maple", "marble", "meadow", "mirror", "needle",
    "ocean", "olive", "orchid", "pebble", "pepper", "pillow", "planet", "prairie", "quartz", "river", "saddle",
    "silver", "temple", "timber", "valley", "willow",
];

/// How often each page is viewed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Popularity {
    /// A few pages very often, as it is on the web
    Zipf,
    /// All pages alike: the worst case
    Uniform,
}

/// Files with the pages and their counts.
#[derive(Debug)]
pub(super) struct Content {
    folder: TempDir,
    pages: u32,
    rows: u64,
    /// The hour in which all pages have a count.
    last_hour: Hour,
}

impl Content {
    /// Writes the rows of `pages` pages up to the current hour.
    pub(super) fn write(
        settings: &PageSettings,
        pages: u32,
        popularity: Popularity,
        now: Hour,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
        let mut content = Self { folder, pages, rows: 0, last_hour: now };
        content.write_pages(settings.days)?;
        let mut file = BufWriter::new(File::create(content.page_views_file())?);
        let mut views = Views::new(pages, popularity)?;
        let empty: Vec<_> = (0..settings.refreshes).map(|run| content.empty_day(run)).collect();
        for age in (0..settings.days).rev() {
            let day = now.day_start().plus(-age * HOURS_PER_DAY);
            if !empty.contains(&day) {
                let rows = rows_of_day(settings, pages, age);
                content.write_day(day, rows, &mut views, &mut file)?;
            }
        }
        content.write_last_hour(&mut views, &mut file)?;
        file.flush()?;
        Ok(content)
    }

    /// CSV, without a header: name, title, `first_seen_at`.
    pub(super) fn pages_file(&self) -> PathBuf {
        self.folder.path().join("pages.csv")
    }

    /// CSV, without a header: name, date, hour, views, `updated_at`; in the order of date, hour and name.
    pub(super) fn page_views_file(&self) -> PathBuf {
        self.folder.path().join("page_views.csv")
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn last_hour(&self) -> Hour {
        self.last_hour
    }

    /// Returns a day in which nothing is counted, another one for each run.
    pub(super) fn empty_day(&self, run: u32) -> Hour {
        let (first, step) = EMPTY_DAYS;
        let age = first + step * i32::try_from(run).unwrap_or_default();
        self.last_hour.day_start().plus(-age * HOURS_PER_DAY)
    }

    /// Returns increments of one view of [`CHANGED`] pages in an hour. The pages are spread over all names, and are
    /// others in each run if there are enough.
    pub(super) fn increments(&self, run: u32, hour: Hour) -> Vec<Value> {
        let step = self.pages.div_euclid(CHANGED).max(1);
        let at = hour.start().to_rfc3339();
        let pages = (0..CHANGED).map(|number| (number * step + run) % self.pages);
        pages.map(|page| json!({ "page": name(page), "at": at })).collect()
    }

    fn write_pages(&self, days: i32) -> anyhow::Result<()> {
        let mut file = BufWriter::new(File::create(self.pages_file())?);
        let first = self.last_hour.day_start().plus(-days * HOURS_PER_DAY).start().to_rfc3339();
        for page in 0..self.pages {
            writeln!(file, "{},{},{first}", name(page), title(page))?;
        }
        Ok(file.flush()?)
    }

    /// Writes `rows` rows of the hours of a day, of the last one of those before the last hour.
    fn write_day(&mut self, day: Hour, rows: usize, views: &mut Views, file: &mut impl Write) -> anyhow::Result<()> {
        let hours = self.last_hour.since(day).min(HOURS_PER_DAY);
        let mut counts: HashMap<(i16, u32), u64> = HashMap::with_capacity(rows);
        while counts.len() < rows && hours > 0 {
            let hour = views.hour();
            if i32::from(hour) < hours {
                *counts.entry((hour, views.page())).or_default() += 1;
            }
        }
        self.write_rows(day, counts, file)
    }

    /// Writes a row of every page.
    fn write_last_hour(&mut self, views: &mut Views, file: &mut impl Write) -> anyhow::Result<()> {
        let mut counts: HashMap<_, _> = (0..self.pages).map(|page| ((0, page), 1)).collect();
        for _ in 0..self.pages {
            *counts.entry((0, views.page())).or_default() += 1;
        }
        self.write_rows(self.last_hour, counts, file)
    }

    fn write_rows(
        &mut self,
        from: Hour,
        counts: HashMap<(i16, u32), u64>,
        file: &mut impl Write,
    ) -> anyhow::Result<()> {
        let mut rows: Vec<_> = counts.into_iter().map(|((hour, page), views)| (hour, name(page), views)).collect();
        rows.sort_unstable();
        for (hour, name, views) in &rows {
            let hour = from.plus(i32::from(*hour));
            writeln!(file, "{name},{},{},{views},{}", hour.date(), hour.of_day(), hour.start().to_rfc3339())?;
        }
        self.rows += u64::try_from(rows.len())?;
        Ok(())
    }
}

/// Returns how many rows a day has that is so many days old.
fn rows_of_day(settings: &PageSettings, pages: u32, age: i32) -> usize {
    let mut from = 0;
    for (to, share) in SHARES {
        if age < to {
            #[expect(clippy::cast_precision_loss, reason = "millions")]
            let rows = settings.rows.saturating_sub(u64::from(pages)) as f64;
            let most = f64::from(pages) * f64::from(HOURS_PER_DAY) * FILLED_MAX;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "millions, positive")]
            return (rows * share / f64::from(to.min(settings.days) - from)).min(most) as usize;
        }
        from = to;
    }
    0
}

/// Views, drawn at random.
struct Views {
    random: StdRng,
    pages: u32,
    by_rank: Box<dyn Fn(&mut StdRng) -> f64 + Send>,
    hours: Vec<i16>,
    any_hour: Uniform<usize>,
}

impl Views {
    fn new(pages: u32, popularity: Popularity) -> anyhow::Result<Self> {
        let most = f64::from(pages);
        let by_rank: Box<dyn Fn(&mut StdRng) -> f64 + Send> = match popularity {
            Popularity::Zipf => {
                let zipf = Zipf::new(most, EXPONENT).context("can't draw by Zipf")?;
                Box::new(move |random| zipf.sample(random))
            }
            Popularity::Uniform => {
                let uniform = Uniform::new(0.0, most).context("can't draw uniformly")?;
                Box::new(move |random| uniform.sample(random))
            }
        };
        let hours: Vec<_> = (0..).zip(HOURS).flat_map(|(hour, times)| std::iter::repeat_n(hour, times)).collect();
        let any_hour = Uniform::new(0, hours.len()).context("can't draw hours")?;
        ensure!(u64::from(pages) < SPREAD, "there can be at most {SPREAD} pages");
        Ok(Self { random: StdRng::seed_from_u64(SEED), pages, by_rank, hours, any_hour })
    }

    fn page(&mut self) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the number of pages")]
        let rank = (self.by_rank)(&mut self.random) as u64;
        u32::try_from(rank * SPREAD % u64::from(self.pages)).unwrap_or_default()
    }

    fn hour(&mut self) -> i16 {
        self.hours[self.any_hour.sample(&mut self.random)]
    }
}

/// Returns a page's name: of the length and the form that names have on real sites, 27 to 42 bytes.
fn name(page: u32) -> String {
    let (first, second, number) = words(page);
    let section = match number % 100 {
        0..60 => format!("/blog/{}/{:02}", 2019 + number.div_euclid(100) % 6, 1 + number.div_euclid(600) % 12),
        60..80 => format!("/docs/v{}/guide", 1 + number.div_euclid(100) % 9),
        80..95 => "/forum/topic".to_owned(),
        _ => "/shop/item".to_owned(),
    };
    format!("{section}/{first}-{second}-{page:08}")
}

/// Returns a page's title. Whichever text without digits and capitals it contains, the name contains it too.
fn title(page: u32) -> String {
    let (first, second, _) = words(page);
    format!("Everything On {first}-{second}")
}

fn words(page: u32) -> (&'static str, &'static str, usize) {
    // SplitMix64: neighbours have nothing in common.
    let mut number = u64::from(page).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^= number >> 31;
    let word = |bits: u32| WORDS[usize::try_from((number >> bits) & 63).unwrap_or_default()];
    (word(0), word(6), usize::try_from(number >> 32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_like_those_of_real_sites() {
        let names: Vec<_> = (0..10_000).map(name).collect();
        assert!(names.iter().all(|name| (20..=45).contains(&name.len())), "{names:?}");
        let blog = names.iter().filter(|name| name.starts_with("/blog/")).count();
        assert!((5_700..6_300).contains(&blog), "{blog}");
        let month = names.iter().filter(|name| name.starts_with("/blog/2024/05/")).count();
        assert!((50..120).contains(&month), "{month}");
    }

    #[test]
    fn every_page_has_a_rank() {
        for popularity in [Popularity::Zipf, Popularity::Uniform] {
            let mut views = Views::new(10, popularity).unwrap();
            let drawn: std::collections::BTreeSet<_> = (0..10_000).map(|_| views.page()).collect();
            assert_eq!(drawn, (0..10).collect());
        }
    }
}
