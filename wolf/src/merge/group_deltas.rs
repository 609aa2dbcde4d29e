//! The changes of the rows of groups that come with those of pages.

use std::collections::{BTreeMap, BTreeSet};

use entity::page_views_report::SITE;
use sea_orm::DbErr;
use storage::Transaction;

use super::deltas::{BucketDelta, PageDeltas};
use crate::{
    groups::{Groups, sums::grain_of_groups},
    site_rows::Bucket,
};

/// What a group grows by in a bucket: its views, and by hour of the day.
type Sum = (i64, BTreeMap<i16, i64>);

/// Returns the changes of the groups of the pages in `bucket_deltas`, each of one bucket. New pages get their groups.
pub(super) async fn group_deltas(
    transaction: &Transaction,
    bucket_deltas: &[BucketDelta],
) -> Result<Vec<BucketDelta>, DbErr> {
    let mut groups = Groups::read(transaction).await?;
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let pages = |delta: &BucketDelta| [&delta.existing, &delta.new].map(|deltas| deltas.names.as_slice()).concat();
    let names: Vec<String> = bucket_deltas.iter().flat_map(pages).collect();
    let names: BTreeSet<&str> = names.iter().map(String::as_str).filter(|name| *name != SITE).collect();
    let members = groups.of_pages(transaction, names).await?;
    let mut group_deltas = Vec::new();
    for BucketDelta { buckets, existing, new } in bucket_deltas {
        for bucket in buckets {
            let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
            for deltas in [existing, new] {
                for (index, (name, views)) in deltas.names.iter().zip(&deltas.views).enumerate() {
                    for group in groups.with_rows(&members, name, bucket.1) {
                        let (sum, hours) = sums.entry(group).or_default();
                        *sum += views;
                        for (of_day, views) in &deltas.hours {
                            *hours.entry(*of_day).or_default() += views.get(index).copied().unwrap_or_default();
                        }
                    }
                }
            }
            if !sums.is_empty() {
                group_deltas.push(group_delta(*bucket, sums));
            }
        }
    }
    Ok(group_deltas)
}

fn group_delta((grain, date): Bucket, sums: BTreeMap<&str, Sum>) -> BucketDelta {
    let hours: BTreeSet<i16> = sums.values().flat_map(|(_, hours)| hours.keys().copied()).collect();
    let mut new = PageDeltas::default();
    for (group, (views, by_hour)) in sums {
        new.push(group.to_owned(), views);
        for of_day in &hours {
            new.hours.entry(*of_day).or_default().push(by_hour.get(of_day).copied().unwrap_or_default());
        }
    }
    BucketDelta { buckets: vec![(grain_of_groups(grain), date)], existing: PageDeltas::default(), new }
}
