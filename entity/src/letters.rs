//! Letters whose case is ignored, alike in every script.

/// Returns the character for which `character` is taken where the case is ignored: the simple small letter of its simple
/// capital letter, so that σ and ς are one. No letter is taken for one of ASCII, except ASCII's capital letters.
#[must_use]
pub fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    let upper = single(character.to_uppercase()).unwrap_or(character);
    let lower = single(upper.to_lowercase()).unwrap_or(upper);
    if lower.is_ascii() { character } else { lower }
}

fn single(mut characters: impl Iterator<Item = char>) -> Option<char> {
    characters.next().filter(|_| characters.next().is_none())
}
