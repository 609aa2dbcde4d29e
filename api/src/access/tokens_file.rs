//! The file of tokens: its form and its limits, and what happens when it changes while the server runs.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    str,
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tracing::{error, info};

use super::{
    Access,
    settings::{AccessError, TOKENS_FILE_BYTES_MAX, TOKENS_MAX},
    token::Token,
};
use crate::metrics;

/// The file of tokens, with the hash of the content whose tokens are in force.
#[derive(Clone)]
pub(super) struct TokensFile {
    path: PathBuf,
    /// The tokens of the command line, which are in force beside those of the file.
    given: Vec<Token>,
    /// The hash of the content whose tokens are in force at the start.
    content: ContentHash,
    /// Whether it can be looked at again and again: a pipe has its lines once.
    is_regular: bool,
}

/// The SHA-256 hash of a file's content.
type ContentHash = [u8; 32];

impl TokensFile {
    /// Reads the file. Returns it with its tokens and, before them, those of the command line.
    ///
    /// # Errors
    /// When the file can't be read or is no file of tokens, or there are too many of them.
    pub(super) fn open(path: &Path, given: Vec<Token>) -> Result<(Self, Vec<Token>), AccessError> {
        // Read before it is asked for its kind: the error of reading is the plainer one.
        let content = read(path)?;
        let is_regular = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        let file = Self { path: path.to_owned(), content: hash(&content), given, is_regular };
        let tokens = file.parse(&content)?;
        Ok((file, tokens))
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// When it can't be read.
    fn read(&self) -> Result<Vec<u8>, AccessError> {
        // A pipe would be waited for.
        match fs::metadata(&self.path) {
            Ok(metadata) if !metadata.is_file() => Err(AccessError::NotAFile { file: self.path.clone() }),
            _ => read(&self.path),
        }
    }

    /// Returns the tokens of the command line and of the file.
    ///
    /// # Errors
    /// When the content is no list of tokens, has none, or has too many.
    fn parse(&self, content: &[u8]) -> Result<Vec<Token>, AccessError> {
        let mut tokens = self.given.clone();
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            let line = str::from_utf8(line).map_err(|source| AccessError::Text { number, source })?.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if tokens.len() == TOKENS_MAX {
                return Err(AccessError::TooManyLines { number });
            }
            tokens.push(line.parse().map_err(|source| AccessError::Line { number, source })?);
        }
        if tokens.len() == self.given.len() { Err(AccessError::NoTokens) } else { Ok(tokens) }
    }
}

fn hash(content: &[u8]) -> ContentHash {
    Sha256::digest(content).into()
}

/// Reads a file of at most [`TOKENS_FILE_BYTES_MAX`].
fn read(path: &Path) -> Result<Vec<u8>, AccessError> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TOKENS_FILE_BYTES_MAX + 1).read_to_end(&mut content));
    match read {
        Err(source) => Err(AccessError::File { file: path.to_owned(), source }),
        Ok(_) if content.len() as u64 > TOKENS_FILE_BYTES_MAX => Err(AccessError::FileTooLong),
        Ok(_) => Ok(content),
    }
}

/// A look at the file: the hash of its content, or the reason why it can't be read.
#[derive(Clone, PartialEq, Eq)]
enum Look {
    Content(ContentHash),
    Unreadable(String),
}

/// Watches over the file of tokens, and puts its tokens into force when it has changed. A file that is wrong is refused
/// as a whole: the tokens in force stay.
pub struct TokensFileWatch {
    access: Access,
    file: Arc<TokensFile>,
    /// The content whose tokens are in force.
    in_force: Look,
    /// What was found at the last look, if that was something new. It has to be found twice, because a file may be
    /// looked at while it is being written.
    pending: Option<Look>,
    /// The content that was refused last, so that the log has its error once.
    refused: Option<Look>,
}

impl TokensFileWatch {
    pub(super) fn new(access: Access, file: TokensFile) -> Self {
        let in_force = Look::Content(file.content);
        Self { access, file: Arc::new(file), in_force, pending: None, refused: None }
    }

    /// Looks at the file. A change that was there at the last look, too, is put into force or refused.
    pub async fn look(&mut self) {
        if !self.file.is_regular {
            return;
        }
        let (look, content) = self.read().await;
        if look == self.in_force {
            self.pending = None;
            if self.refused.take().is_some() {
                info!("the file of tokens is again the one whose tokens are in force");
            }
        } else if self.refused.as_ref() == Some(&look) {
            self.pending = None;
        } else if self.pending.as_ref() == Some(&look) {
            self.apply(look, content);
        } else {
            self.pending = Some(look);
        }
    }

    /// Reads the file and puts its tokens into force or refuses it, at once and whether or not it has changed.
    pub async fn read_again(&mut self) {
        let (look, content) = self.read().await;
        self.apply(look, content);
    }

    async fn read(&self) -> (Look, Result<Vec<u8>, AccessError>) {
        let file = Arc::clone(&self.file);
        let mut reading = JoinSet::new();
        reading.spawn_blocking(move || file.read());
        let content = match reading.join_next().await {
            Some(Ok(content)) => content,
            // Impossible, except while the process ends.
            _ => Err(AccessError::File { file: self.file.path.clone(), source: io::ErrorKind::Interrupted.into() }),
        };
        let look = match &content {
            Ok(content) => Look::Content(hash(content)),
            Err(AccessError::File { source, .. }) => Look::Unreadable(source.to_string()),
            Err(unreadable) => Look::Unreadable(unreadable.to_string()),
        };
        (look, content)
    }

    fn apply(&mut self, look: Look, content: Result<Vec<u8>, AccessError>) {
        self.pending = None;
        match content.and_then(|content| self.file.parse(&content)) {
            Ok(tokens) => {
                let changes = self.access.replace_tokens(tokens);
                metrics::tokens_file_reads("applied").increment(1);
                info!(
                    tokens.count = changes.tokens,
                    tokens.added = changes.added,
                    tokens.removed = changes.removed,
                    "the file of tokens was read again"
                );
                (self.in_force, self.refused) = (look, None);
            }
            Err(wrong) => {
                metrics::tokens_file_reads("refused").increment(1);
                error!(
                    error = &wrong as &dyn Error,
                    tokens.count = self.access.token_count(),
                    "the file of tokens is refused, the tokens in force stay"
                );
                self.refused = Some(look);
            }
        }
    }
}

impl std::fmt::Debug for TokensFileWatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokensFileWatch").field("path", &self.file.path).finish_non_exhaustive()
    }
}
