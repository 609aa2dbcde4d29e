//! The nodes of a Citus cluster: which one has the rows of a page, and so can commit them alone.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sqlx::PgConnection;
use storage::nodes::Node;

use crate::increment::{Increment, Request};

/// A name by which the database's hash function is compared with the one here.
const PROBE: &str = "/straße/1";

/// The nodes that this process can't connect to, shared by its committers.
#[derive(Clone, Debug, Default)]
pub(crate) struct LostNodes(Arc<Mutex<HashSet<Node>>>);

impl LostNodes {
    pub(crate) fn insert(&self, node: &Node) {
        self.lock().insert(node.clone());
    }

    pub(crate) fn remove(&self, node: &Node) {
        self.lock().remove(node);
    }

    /// Forgets those that are not among `nodes`.
    pub(crate) fn retain(&self, nodes: &Nodes) {
        self.lock().retain(|node| nodes.has(node));
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.lock().iter().cloned().collect()
    }

    pub(crate) fn has_any(&self, owners: &[Owner<'_>]) -> bool {
        let lost = self.lock();
        !lost.is_empty() && owners.iter().any(|owner| lost.contains(owner.node))
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Node>> {
        // A set is whole after each call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which node has which pages. It may be out of date: then a node passes on what it has not, in two phases.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    /// The shards.
    shards: HashRanges,
    /// Of each shard, the index of the node that has it.
    node_of: Vec<usize>,
}

/// The node and the shard that have a page.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    pub(crate) node: &'a Node,
    /// The index of the shard, among those of all nodes.
    pub(crate) shard: usize,
}

/// Ranges of the hashes of pages' names: the first and the last hash of each, in order.
#[derive(Debug, Default)]
pub(crate) struct HashRanges(Vec<(i32, i32)>);

impl HashRanges {
    /// Returns `ranges`, which are in order.
    pub(crate) fn new(ranges: impl IntoIterator<Item = (i32, i32)>) -> Self {
        Self(ranges.into_iter().collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the index of the range that the page is in.
    pub(crate) fn index_of(&self, page: &str) -> Option<usize> {
        let hash = hash(page.as_bytes());
        let index = self.0.partition_point(|(first, _)| *first <= hash).checked_sub(1)?;
        (hash <= self.0.get(index)?.1).then_some(index)
    }
}

impl Nodes {
    /// Reads the ranges from the coordinator. There are none if the nodes can't be told from names, or take no commits.
    pub(crate) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let sql = include_str!("nodes/ranges.sql");
        let (mut nodes, mut ranges, mut node_of) = (Vec::new(), Vec::new(), Vec::new());
        let rows: Vec<(i32, i32, i32, String, i32, i32)> =
            sqlx::query_as(sql).bind(PROBE).persistent(false).fetch_all(connection).await?;
        for (first, last, group, host, port, probe) in rows {
            let Ok(port) = u16::try_from(port) else { continue };
            if probe != hash(PROBE.as_bytes()) {
                return Ok(Self::default());
            }
            let node = Node { group, host, port };
            let known = nodes.iter().position(|known| *known == node);
            let index = known.unwrap_or_else(|| {
                nodes.push(node);
                nodes.len() - 1
            });
            ranges.push((first, last));
            node_of.push(index);
        }
        Ok(Self { nodes, shards: HashRanges::new(ranges), node_of })
    }

    /// Returns whether no node takes commits of its own.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn has(&self, node: &Node) -> bool {
        self.nodes.contains(node)
    }

    /// Returns which node and shard have the page of each increment. `None` if the coordinator has to commit the request: a step of an
    /// import is there, or a page is in no shard that is known.
    pub(crate) fn owners(&self, request: &Request) -> Option<Vec<Owner<'_>>> {
        if request.import_step.is_some() {
            return None;
        }
        let owner = |increment: &Increment| {
            let shard = self.shards.index_of(increment.page.as_str())?;
            Some(Owner { node: &self.nodes[self.node_of[shard]], shard })
        };
        request.increments.iter().map(owner).collect()
    }
}

/// Returns PostgreSQL's `hashtext` of a text of the collation "C": Bob Jenkins' lookup3, as in `common/hashfn.c`.
fn hash(bytes: &[u8]) -> i32 {
    const LENGTH_AND_SEED: u32 = 0x9e37_79b9_u32.wrapping_add(3_923_095);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let [mut a, mut b, mut c] = [LENGTH_AND_SEED.wrapping_add(length); 3];
    let word = |bytes: &[u8], at: usize| {
        let byte = |index: usize| u32::from(bytes.get(at + index).copied().unwrap_or_default()) << (8 * index);
        byte(0) | byte(1) | byte(2) | byte(3)
    };
    let chunks = bytes.chunks_exact(12);
    let rest = chunks.remainder();
    for chunk in chunks {
        [a, b, c] = [a.wrapping_add(word(chunk, 0)), b.wrapping_add(word(chunk, 4)), c.wrapping_add(word(chunk, 8))];
        for (x, y, z, by) in [(0, 2, 1, 4), (1, 0, 2, 6), (2, 1, 0, 8), (0, 2, 1, 16), (1, 0, 2, 19), (2, 1, 0, 4)] {
            let mut values = [a, b, c];
            values[x] = values[x].wrapping_sub(values[y]) ^ values[y].rotate_left(by);
            values[y] = values[y].wrapping_add(values[z]);
            [a, b, c] = values;
        }
    }
    // The lowest byte of `c` is the length's.
    [a, b, c] = [a.wrapping_add(word(rest, 0)), b.wrapping_add(word(rest, 4)), c.wrapping_add(word(rest, 8) << 8)];
    for (x, y, by) in [(2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24)] {
        let mut values = [a, b, c];
        values[x] = (values[x] ^ values[y]).wrapping_sub(values[y].rotate_left(by));
        [a, b, c] = values;
    }
    c.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PageName, Views};
    use entity::Hour;

    #[test]
    fn hash_is_that_of_postgresql() {
        // SELECT hashtext(name COLLATE "C")
        for (name, expected) in [
            ("", -1_477_818_771),
            ("/", 840_570_652),
            ("/straße/1", 848_434_395),
            ("0123456789ab", -1_437_215_093),
            ("/page/00042?a=b&c", 2_097_674_832),
        ] {
            assert_eq!(hash(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn increments_are_of_the_shards_and_nodes_that_have_their_pages() {
        let node = |port| Node { group: 1, host: "host".to_owned(), port };
        let shards = HashRanges::new([(i32::MIN, -1), (0, 1_000_000_000), (1_000_000_001, i32::MAX)]);
        let nodes = Nodes { nodes: vec![node(1), node(2)], shards, node_of: vec![0, 1, 0] };
        let request = |names: &[&str]| {
            let increment = |name: &&str| Increment {
                page: PageName::new((*name).to_owned()).unwrap(),
                views: Views::new(1).unwrap(),
                hour: Hour::containing(chrono::DateTime::UNIX_EPOCH),
                at: None,
                title: None,
            };
            Request::new(names.iter().map(increment).collect(), None)
        };
        let names = ["/", "0123456789ab", "/page/00042?a=b&c"];
        let [first, second] = [node(1), node(2)];
        let owners = [(&second, 1), (&first, 0), (&first, 2)].map(|(node, shard)| Owner { node, shard });
        assert_eq!(nodes.owners(&request(&names)), Some(owners.to_vec()));
        assert_eq!(Nodes::default().owners(&request(&names)), None);
    }
}
