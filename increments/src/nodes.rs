//! The nodes of a Citus cluster: which one has the rows of a page, and so can commit them alone.

use sqlx::PgConnection;

use crate::increment::Request;

/// A name by which the database's hash function is compared with the one here.
const PROBE: &str = "/straße/1";

/// A node that takes commits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Which node has which pages. It may be out of date: then a node passes on what it has not, in two phases.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    /// The first and the last hash of each range, and the index of the node that has it.
    ranges: Vec<(i32, i32, usize)>,
}

impl Nodes {
    /// Reads the ranges from the coordinator. There are none if the nodes can't be told from names, or take no commits.
    pub(crate) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let (sql, mut nodes) = (include_str!("nodes/ranges.sql"), Self::default());
        let rows: Vec<(i32, i32, String, i32, i32)> =
            sqlx::query_as(sql).bind(PROBE).persistent(false).fetch_all(connection).await?;
        for (first, last, host, port, probe) in rows {
            let Ok(port) = u16::try_from(port) else { continue };
            if probe != hash(PROBE.as_bytes()) {
                return Ok(Self::default());
            }
            let node = Node { host, port };
            let known = nodes.nodes.iter().position(|known| *known == node);
            let index = known.unwrap_or_else(|| {
                nodes.nodes.push(node);
                nodes.nodes.len() - 1
            });
            nodes.ranges.push((first, last, index));
        }
        Ok(nodes)
    }

    /// Returns whether no node takes commits of its own.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the node that has all pages of `request`, if it can be committed there alone: its key or its step of an import is
    /// on the coordinator.
    pub(crate) fn of(&self, request: &Request) -> Option<&Node> {
        if request.key.is_some() || request.import_step.is_some() {
            return None;
        }
        let mut nodes = request.increments.iter().map(|increment| self.index_of(increment.page.as_str()));
        let first = nodes.next()??;
        nodes.all(|node| node == Some(first)).then(|| &self.nodes[first])
    }

    fn index_of(&self, page: &str) -> Option<usize> {
        let hash = hash(page.as_bytes());
        let behind = self.ranges.partition_point(|(first, ..)| *first <= hash);
        let (_, last, index) = *self.ranges.get(behind.checked_sub(1)?)?;
        (hash <= last).then_some(index)
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
    use crate::{Increment, PageName, Views};
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
    fn request_is_of_a_node_if_that_has_all_its_pages() {
        let node = |port| Node { host: "host".to_owned(), port };
        let nodes = Nodes { nodes: vec![node(1), node(2)], ranges: vec![(i32::MIN, -1, 0), (0, i32::MAX, 1)] };
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
        assert_eq!(nodes.of(&request(&["0123456789ab"])), Some(&node(1)));
        assert_eq!(nodes.of(&request(&["/", "/straße/1"])), Some(&node(2)));
        assert_eq!(nodes.of(&request(&["/", "0123456789ab"])), None);
        assert_eq!(Nodes::default().of(&request(&["/"])), None);
    }
}
