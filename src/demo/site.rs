//! A made-up site: its pages, and how often they are viewed.

use std::f64::consts::TAU;

use chrono::{Datelike, Weekday};
use entity::Hour;
use increments::{Increment, PageName, Title, ValidationError, Views};
use rand::Rng;
use rand_distr::{Distribution, Poisson, Zipf};

/// The number of days of the made-up year.
pub(super) const DAYS: u32 = 365;
/// A request has the increments of one day more than it needs to have so many.
pub(super) const INCREMENTS_ENOUGH: usize = 5_000;
/// The last days that have views in every hour; those before have them in a few.
const DAYS_BY_HOUR: u32 = 31;
/// The hours of the other days.
const FEW_HOURS: [i16; 3] = [8, 13, 19];
/// The mean views of the site in an hour of the afternoon of a working day, at the end of the year.
const VIEWS_AN_HOUR: f64 = 400.0;
/// The exponent of Zipf's law, by which few pages have most of the views.
const EXPONENT: f64 = 0.9;

/// The sections of the site: their paths, and the names of their pages.
const SECTIONS: [(&str, &str, [&str; 24]); 4] = [
    (
        "/blog/",
        "Blog",
        [
            "Spring cleaning",
            "Ten years",
            "How we count",
            "Meet the team",
            "Night shift",
            "A new roof",
            "Rye bread",
            "On patience",
            "The long table",
            "Paper and ink",
            "Market day",
            "First frost",
            "Plum season",
            "The oven",
            "Old recipes",
            "Sourdough myths",
            "Wood or gas",
            "Opening hours",
            "What is crumb",
            "Salt",
            "Bicycles",
            "Winter menu",
            "Letters",
            "A guest writes",
        ],
    ),
    (
        "/shop/",
        "Shop",
        [
            "Rye loaf",
            "Wheat loaf",
            "Spelt loaf",
            "Rolls",
            "Baguette",
            "Croissant",
            "Plum cake",
            "Apple cake",
            "Cheese cake",
            "Crackers",
            "Granola",
            "Honey",
            "Jam",
            "Butter",
            "Coffee",
            "Tea",
            "Mug",
            "Apron",
            "Bread knife",
            "Board",
            "Starter",
            "Flour",
            "Gift box",
            "Voucher",
        ],
    ),
    (
        "/recipes/",
        "Recipes",
        [
            "Bread soup",
            "Dumplings",
            "French toast",
            "Panzanella",
            "Croutons",
            "Bread pudding",
            "Pizza",
            "Focaccia",
            "Pita",
            "Naan",
            "Bagels",
            "Pretzels",
            "Scones",
            "Brioche",
            "Stollen",
            "Waffles",
            "Pancakes",
            "Muffins",
            "Cookies",
            "Tart",
            "Quiche",
            "Strudel",
            "Grissini",
            "Tortillas",
        ],
    ),
    (
        "/help/",
        "Help",
        [
            "Delivery",
            "Payment",
            "Returns",
            "Allergens",
            "Storage",
            "Freezing",
            "Subscriptions",
            "Account",
            "Password",
            "Newsletter",
            "Pick up",
            "Wholesale",
            "Catering",
            "Parking",
            "Jobs",
            "Press",
            "Contact",
            "Imprint",
            "Privacy",
            "Terms",
            "Vouchers",
            "Lost and found",
            "Accessibility",
            "Holidays",
        ],
    ),
];

/// The site.
pub(super) struct Site {
    /// The pages with their titles, the most viewed first.
    pages: Vec<(PageName, Option<Title>)>,
    /// The share of each page in the views of the site.
    shares: Vec<f64>,
}

impl Site {
    /// Returns the site.
    pub(super) fn new() -> Self {
        let named = |path: String, title: String| Some((PageName::new(path).ok()?, Title::new(title).ok()));
        let mut pages: Vec<_> = named("/".to_owned(), "The Bakery".to_owned()).into_iter().collect();
        // The sections take turns, so that each has pages that are viewed often.
        for index in 0..SECTIONS[0].2.len() {
            for (path, section, names) in SECTIONS {
                let name = names[index];
                let slug = name.to_lowercase().replace(' ', "-");
                pages.extend(named(format!("{path}{slug}"), format!("{name} · {section}")));
            }
        }
        let weights: Vec<_> = (1_u32..).take(pages.len()).map(|rank| f64::from(rank).powf(-EXPONENT)).collect();
        let all: f64 = weights.iter().sum();
        let shares = weights.into_iter().map(|weight| weight / all).collect();
        Self { pages, shares }
    }

    /// Returns the views of the day that is `days_ago` days and less before the present hour.
    pub(super) fn day(
        &self,
        random: &mut impl Rng,
        present: Hour,
        days_ago: u32,
    ) -> Result<Vec<Increment>, ValidationError> {
        let day = present.plus(-24 * i32::try_from(days_ago).unwrap_or_default());
        let hours = (1..=24).map(|hour| day.plus(hour));
        // The site has grown, by half since a year ago.
        let growth = 1.0 - f64::from(days_ago) / f64::from(DAYS) / 3.0;
        let mut increments = Vec::new();
        for hour in hours {
            let few = days_ago > DAYS_BY_HOUR;
            if few && !FEW_HOURS.contains(&hour.of_day()) {
                continue;
            }
            let mean = VIEWS_AN_HOUR * growth * rhythm(hour) * if few { 7.0 } else { 1.0 };
            for ((page, title), share) in self.pages.iter().zip(&self.shares) {
                let views = sample(random, mean * share);
                if views > 0 {
                    let (page, title, views) = (page.clone(), title.clone(), Views::new(views)?);
                    increments.push(Increment { page, views, hour, at: Some(hour.start()), title });
                }
            }
        }
        Ok(increments)
    }

    /// Returns a page, those that are viewed often more often.
    pub(super) fn page(&self, random: &mut impl Rng) -> (PageName, Option<Title>) {
        let pages = f64::from(u32::try_from(self.pages.len()).unwrap_or(1));
        // The distribution has no rank outside of the pages.
        let rank = Zipf::new(pages, EXPONENT).map_or(1.0, |zipf| zipf.sample(random));
        let found = self.pages.iter().zip(1_u32..).find(|(_, number)| f64::from(*number) >= rank);
        found.map_or_else(|| self.pages[0].clone(), |(page, _)| page.clone())
    }
}

/// Returns the part of the most views that an hour has: few at night, and fewer at the weekend.
fn rhythm(hour: Hour) -> f64 {
    let of_day = (f64::from(hour.of_day()) - 15.0) / 24.0 * TAU;
    let day = 0.55 + 0.45 * of_day.cos();
    match hour.date().weekday() {
        Weekday::Sat | Weekday::Sun => 0.6 * day,
        _ => day,
    }
}

/// Returns a random number of views of this mean.
fn sample(random: &mut impl Rng, mean: f64) -> i64 {
    let views: f64 = Poisson::new(mean).map_or(0.0, |poisson| poisson.sample(random));
    // The means are small, so the number fits.
    format!("{views:.0}").parse().unwrap_or_default()
}
