//! `report_changes`: the pages that a version of the report's content has changed, so that readers keep what they know of all
//! others.

use sea_orm::entity::prelude::*;

/// The bytes of a hash.
const HASH_BYTES: usize = size_of::<u64>();

/// The pages whose rows differ from those of the version before. A version without a row may have changed any page.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "report_changes")]
pub struct Model {
    /// The version, as in `report_refreshes`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub content_version: i64,
    /// The hashes of the pages' names, one after the other.
    pub pages: Vec<u8>,
}

/// The table has no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Returns the hashes of the pages' names.
    pub fn hashes(&self) -> impl Iterator<Item = u64> {
        self.pages.as_chunks::<HASH_BYTES>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

/// Returns what a row has of pages with these hashes.
#[must_use]
pub fn pages(hashes: impl IntoIterator<Item = u64>) -> Vec<u8> {
    hashes.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Returns the hash of a page's name, by which two names may be taken for one: FNV-1a of 64 bits
/// (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>), which is the same in every program.
#[must_use]
pub fn hash(name: &str) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    name.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_that_of_the_draft() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn hashes_are_read_back() {
        let row = Model { content_version: 1, pages: pages(["/a", "/b"].map(hash)) };
        assert_eq!(row.hashes().collect::<Vec<_>>(), ["/a", "/b"].map(hash));
    }
}
