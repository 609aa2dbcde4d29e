//! What can be set about views that browsers send.

use clap::{Args, ValueEnum};

/// What can be set about views that browsers send.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Views from browsers")]
pub struct ViewSettings {
    /// Query parameters that belong to the names of pages, such as id: `/article?id=7&from=mail` is then the page
    /// `/article?id=7`. The rest of the query and the fragment are cut. Repeat the flag, or separate several by ','
    #[arg(long, env = "ANALYTICS_KEEP_PARAMETER", value_delimiter = ',', value_name = "NAME")]
    pub keep_parameter: Vec<String>,
    /// Let the title of a browser's view replace the title that a page has. By default it is kept only by a page that has
    /// none, so that nobody can rename pages
    #[arg(long, env = "ANALYTICS_REPLACE_TITLES")]
    pub replace_titles: bool,
    /// The signals by which browsers ask not to be counted, and which are honored: gpc (the header Sec-GPC: 1), dnt (DNT: 1)
    /// or both, separated by ','
    #[arg(long, env = "ANALYTICS_HONOR", value_delimiter = ',', value_enum, value_name = "SIGNALS")]
    pub honor: Vec<OptOut>,
}

/// A signal by which a browser asks not to be counted.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum OptOut {
    /// Global Privacy Control
    Gpc,
    /// Do Not Track
    Dnt,
}
