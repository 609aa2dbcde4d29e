//! What groups are: their names, and the patterns that choose their pages.

use std::collections::BTreeMap;

use entity::page_group::{GROUPS_MAX, GROUPS_PER_PAGE_MAX, NAME_BYTES_MAX};
use globset::{Candidate, Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// The most patterns of a group.
pub const PATTERNS_MAX: usize = 32;
/// The most bytes of a pattern.
pub const PATTERN_BYTES_MAX: usize = 256;
/// What a pattern begins with that leaves pages out.
const EXCEPT: char = '!';

/// Groups that may be declared: their patterns by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDefinitions(BTreeMap<String, Vec<String>>);

/// Why groups can't be declared.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// There are too many groups.
    #[error("there may be at most {GROUPS_MAX} groups, not {0}")]
    Groups(usize),
    /// A name has other characters, or is too long.
    #[error(
        "the group's name {0:?} must be 1 to {NAME_BYTES_MAX} bytes: letters and digits of ASCII, '-', '_' and '.'"
    )]
    Name(String),
    /// A group has no pattern, or too many.
    #[error("the group {group} must have 1 to {PATTERNS_MAX} patterns, not {patterns}")]
    Patterns {
        /// The group's name.
        group: String,
        /// How many it has.
        patterns: usize,
    },
    /// A group has only patterns that leave pages out.
    #[error("the group {0} must have a pattern that does not begin with '{EXCEPT}'")]
    OnlyExcept(String),
    /// A pattern is empty or too long.
    #[error("a pattern of the group {group} must be 1 to {PATTERN_BYTES_MAX} bytes, not {bytes}")]
    PatternBytes {
        /// The group's name.
        group: String,
        /// How many bytes it has.
        bytes: usize,
    },
    /// A pattern is none.
    #[error("the group {group} has the pattern {pattern:?}, which is none")]
    Pattern {
        /// The group's name.
        group: String,
        /// The pattern.
        pattern: String,
        /// What is wrong.
        #[source]
        source: globset::Error,
    },
}

impl GroupDefinitions {
    /// Checks groups.
    ///
    /// # Errors
    /// [`DefinitionError`], which names the group and the limit.
    pub fn new(groups: BTreeMap<String, Vec<String>>) -> Result<Self, DefinitionError> {
        if groups.len() > GROUPS_MAX {
            return Err(DefinitionError::Groups(groups.len()));
        }
        for (name, patterns) in &groups {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_allowed) {
                return Err(DefinitionError::Name(name.clone()));
            }
            let group = || name.clone();
            if patterns.is_empty() || patterns.len() > PATTERNS_MAX {
                return Err(DefinitionError::Patterns { group: group(), patterns: patterns.len() });
            }
            if patterns.iter().all(|pattern| pattern.starts_with(EXCEPT)) {
                return Err(DefinitionError::OnlyExcept(group()));
            }
            for pattern in patterns {
                if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
                    return Err(DefinitionError::PatternBytes { group: group(), bytes: pattern.len() });
                }
                if let Err(source) = glob(pattern) {
                    return Err(DefinitionError::Pattern { group: group(), pattern: pattern.clone(), source });
                }
            }
        }
        Ok(Self(groups))
    }

    /// Returns the patterns by name.
    #[must_use]
    pub fn patterns(&self) -> &BTreeMap<String, Vec<String>> {
        &self.0
    }

    /// Makes what finds the groups of pages.
    ///
    /// # Errors
    /// When the patterns are too large together.
    pub fn matcher(&self) -> Result<GroupMatcher, globset::Error> {
        GroupMatcher::new(self.0.iter().map(|(name, patterns)| (name.as_str(), patterns.as_slice())))
    }
}

/// Returns the glob of a pattern, without what it may begin with.
fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern.strip_prefix(EXCEPT).unwrap_or(pattern)).literal_separator(true).build()
}

/// Finds the groups of pages.
#[derive(Clone, Debug)]
pub struct GroupMatcher {
    /// In order.
    names: Vec<String>,
    globs: GlobSet,
    /// Of each glob, the index of its group and whether it leaves pages out.
    owners: Vec<(usize, bool)>,
}

/// The groups of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsOfPage {
    /// Those that it is in, in order.
    pub groups: Vec<String>,
    /// Those that it would be in as well, if a page might be in so many.
    pub too_many: Vec<String>,
}

impl GroupMatcher {
    pub(super) fn new<'a>(groups: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Result<Self, globset::Error> {
        let (mut names, mut owners, mut globs) = (Vec::new(), Vec::new(), GlobSetBuilder::new());
        for (name, patterns) in groups {
            for pattern in patterns {
                globs.add(glob(pattern)?);
                owners.push((names.len(), pattern.starts_with(EXCEPT)));
            }
            names.push(name.to_owned());
        }
        Ok(Self { names, globs: globs.build()?, owners })
    }

    /// Returns the groups of the page `name`: those of which a pattern matches and none that leaves it out.
    #[must_use]
    pub fn groups_of(&self, name: &str) -> GroupsOfPage {
        let mut chosen: BTreeMap<usize, bool> = BTreeMap::new();
        for index in self.globs.matches_candidate(&Candidate::new(name)) {
            if let Some((group, leaves_out)) = self.owners.get(index) {
                *chosen.entry(*group).or_insert(true) &= !leaves_out;
            }
        }
        let chosen = chosen.into_iter().filter(|(_, is_in)| *is_in);
        let mut groups: Vec<String> = chosen.filter_map(|(group, _)| self.names.get(group).cloned()).collect();
        let too_many = groups.split_off(groups.len().min(GROUPS_PER_PAGE_MAX));
        GroupsOfPage { groups, too_many }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions<const N: usize>(groups: [(&str, &[&str]); N]) -> Result<GroupDefinitions, DefinitionError> {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        GroupDefinitions::new(groups.into_iter().map(|(name, patterns)| (name.to_owned(), owned(patterns))).collect())
    }

    #[test]
    fn patterns_choose_pages_as_globs_do() {
        let groups = [
            ("blog", ["/blog/**"].as_slice()),
            ("docs", &["/en/docs/**", "!/en/docs/internal/**", "/handbook"]),
            ("product", &["/p/*"]),
            ("site", &["example.org/**"]),
            ("two", &["/{a,b}/?"]),
        ];
        let matcher = definitions(groups).unwrap().matcher().unwrap();
        for (page, expected) in [
            ("/blog/a", ["blog"].as_slice()),
            ("/blog/a/b c?d=1", &["blog"]),
            ("/blog", &[]),
            ("/blogs/a", &[]),
            ("/p/1", &["product"]),
            ("/p/1/2", &[]),
            ("/en/docs/a", &["docs"]),
            ("/en/docs/internal/a", &[]),
            ("/handbook", &["docs"]),
            ("example.org/", &["site"]),
            ("example.org/ä", &["site"]),
            ("/b/c", &["two"]),
            // A byte of UTF-8.
            ("/b/ä", &[]),
            ("/B/a", &[]),
        ] {
            assert_eq!(matcher.groups_of(page), GroupsOfPage { groups: names(expected), too_many: vec![] }, "{page}");
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn ninth_group_of_a_page_is_too_many() {
        let groups = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|name| (name, ["/**"].as_slice()));
        let found = definitions(groups).unwrap().matcher().unwrap().groups_of("/x");
        assert_eq!(
            found,
            GroupsOfPage { groups: names(&["a", "b", "c", "d", "e", "f", "g", "h"]), too_many: names(&["i"]) }
        );
    }

    #[test]
    fn definitions_are_within_their_bounds() {
        fn error(groups: [(&str, &[&str]); 1]) -> String {
            definitions(groups).unwrap_err().to_string()
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        let long_pattern = "a".repeat(PATTERN_BYTES_MAX + 1);
        let many = vec!["/a"; PATTERNS_MAX + 1];
        assert!(error([(&long, &["/a"])]).contains("must be 1 to 64 bytes"));
        assert!(error([("", &["/a"])]).contains("must be 1 to 64 bytes"));
        assert!(error([("a\"b", &["/a"])]).contains("must be 1 to 64 bytes"));
        assert_eq!(error([("a", &[])]), "the group a must have 1 to 32 patterns, not 0");
        assert_eq!(error([("a", &many)]), "the group a must have 1 to 32 patterns, not 33");
        assert_eq!(error([("a", &["!/a"])]), "the group a must have a pattern that does not begin with '!'");
        assert_eq!(error([("a", &[&long_pattern])]), "a pattern of the group a must be 1 to 256 bytes, not 257");
        assert_eq!(error([("a", &["/[a"])]), "the group a has the pattern \"/[a\", which is none");
        let many = (0..=GROUPS_MAX).map(|number| (format!("g{number}"), vec!["/a".to_owned()])).collect();
        assert_eq!(GroupDefinitions::new(many).unwrap_err().to_string(), "there may be at most 256 groups, not 257");
        assert!(definitions([(&long[1..], &[&long_pattern[1..]])]).is_ok());
    }
}
