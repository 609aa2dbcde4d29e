//! Known bots, by their user agents: the same list for imported logs and for what browsers send.

/// The number of a user agent's bytes that are searched for a crawler's name. Names come earlier, and the cost of the
/// search grows with the length.
const USER_AGENT_BYTES_MAX: usize = 1_024;

/// Returns whether the user agent is on the list of known crawlers.
///
/// `crawler_info` searches Crawlerdex, a list of almost 3,000 named crawlers, so each result has a source. The crate's
/// `is_crawler` goes by words such as `http` and `feed` instead, and takes more browsers for bots (23 against 15 of the
/// crate's 19,897 browsers). It also has a cache that is keyed by the text's address, length and ends, which returns
/// wrong results for a reused buffer.
#[must_use]
pub fn is_known_bot(user_agent: &str) -> bool {
    let end = user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX);
    iscrawl::crawler_info(&user_agent[..end]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bot_is_recognized_in_a_reused_buffer() {
        // The texts have the same length and ends, so `iscrawl::is_crawler` confuses them.
        let browser = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/1 Safari/537.36";
        let bot = "Mozilla/5.0 (compatible; Googlebot/2.1 ; +http://a.b/bot.h) Sari/537.36";
        assert_eq!(browser.len(), bot.len());
        let mut buffer = browser.to_owned();
        assert!(!is_known_bot(&buffer));
        buffer.replace_range(.., bot);
        assert!(is_known_bot(&buffer));
    }
}
