//! How lists and numbers of pages are found, and the metrics of that. Without an installed metrics recorder nothing is
//! measured.

use metrics::{counter, describe_counter};

const LISTS: &str = "analytics_page_lists_total";
const PAGE_COUNTS: &str = "analytics_page_counts_total";

/// How a list or a number of pages was found.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Way {
    /// By the flagged rows.
    Proof,
    /// By numbers on the site's rows.
    Summary,
    /// By all rows.
    Scan,
}

impl Way {
    fn label(self) -> &'static str {
        match self {
            Self::Proof => "proof",
            Self::Summary => "summary",
            Self::Scan => "scan",
        }
    }
}

pub(crate) fn count_list(way: Way) {
    counter!(LISTS, "way" => way.label()).increment(1);
}

pub(crate) fn count_pages(way: Way) {
    counter!(PAGE_COUNTS, "way" => way.label()).increment(1);
}

pub(crate) fn describe() {
    describe_counter!(LISTS, "Lists of pages that were not cached: a proof read the most viewed pages, a scan all.");
    describe_counter!(
        PAGE_COUNTS,
        "Numbers of pages that were not cached: a summary added numbers, a scan read all rows."
    );
    for way in [Way::Proof, Way::Scan] {
        counter!(LISTS, "way" => way.label()).increment(0);
    }
    for way in [Way::Summary, Way::Scan] {
        counter!(PAGE_COUNTS, "way" => way.label()).increment(0);
    }
}
