//! Known bots, by their user agents: the same list for imported logs and for what browsers send.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// The number of a user agent's bytes that are searched for a crawler's name. Names come earlier, and the cost of the
/// search grows with the length.
const USER_AGENT_BYTES_MAX: usize = 1_024;

/// Words of health checks and monitors that Crawlerdex lacks, each with an example from its makers' documents. Case
/// does not matter.
const MONITORS: [&str; 14] = [
    // `ELB-HealthChecker/2.0`, `Consul Health Check`, `HAProxy health check`, `Fly-HealthCheck`.
    "health check",
    "health-check",
    "healthcheck",
    // `Edge Health Probe` of Azure Front Door, `Azure Traffic Manager Endpoint Monitor`, `Load Balancer Agent` of
    // Azure.
    "health probe",
    "endpoint monitor",
    "load balancer agent",
    "envoy/hc",
    // `Prometheus/2.45.0`, which reads metrics, and its `Blackbox-Exporter/0.19.0`.
    "prometheus/",
    "blackbox-exporter",
    // `Apache/2.4.57 (Debian) (internal dummy connection)`: Apache wakes its own processes.
    "internal dummy connection",
    // `DigitalOcean Uptime Probe 0.22.0`, `Datadog/Synthetics`, `New Relic Synthetics`, `Grafana Synthetic Monitoring`.
    "uptime",
    "synthetic",
    "nagios",
    "gatus/",
];

/// Finds any of [`MONITORS`]; built once, and none if it can't be.
static MONITOR_WORDS: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(MONITORS).ok());

/// Returns whether the user agent is on the list of known crawlers, or one of a health check or a monitor.
///
/// `crawler_info` searches Crawlerdex, a list of almost 3,000 named crawlers, so each result has a source. The crate's
/// `is_crawler` goes by words such as `http` and `feed` instead, and takes more browsers for bots (23 against 15 of the
/// crate's 19,897 browsers). It also has a cache that is keyed by the text's address, length and ends, which returns
/// wrong results for a reused buffer.
#[must_use]
pub fn is_known_bot(user_agent: &str) -> bool {
    let end = user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX);
    let user_agent = &user_agent[..end];
    let is_monitor = MONITOR_WORDS.as_ref().is_some_and(|words| words.is_match(user_agent));
    is_monitor || iscrawl::crawler_info(user_agent).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_and_monitors_are_bots() {
        for user_agent in [
            "ELB-HealthChecker/2.0",
            "GoogleHC/1.0",
            "kube-probe/1.27",
            "Prometheus/2.45.0",
            "Blackbox Exporter/0.24.0",
            "Blackbox-Exporter/0.19.0",
            "HAProxy health check",
            "Envoy/HC",
            "Consul Health Check",
            "Edge Health Probe",
            "Azure Traffic Manager Endpoint Monitor",
            "Load Balancer Agent",
            "Amazon-Route53-Health-Check-Service (ref 1; report http://amzn.to/1vsZADi)",
            "Mozilla/5.0 (compatible;Cloudflare-Healthchecks/1.0;+https://www.cloudflare.com/; healthcheck-id: x)",
            "GoogleStackdriverMonitoring-UptimeChecks(https://cloud.google.com/monitoring)",
            "DigitalOcean Uptime Probe 0.22.0 (https://digitalocean.com)",
            "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
            "Uptime-Kuma/1.23.0",
            "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
            "Mozilla/5.0 (compatible; StatusCake/1.0)",
            "updown.io daemon 2.11",
            "Datadog/Synthetics",
            "check_http/v2.3.3 (monitoring-plugins 2.3.3)",
            "Gatus/1.0",
            "Apache/2.4.57 (Debian) OpenSSL/3.0.9 (internal dummy connection)",
            "Apache (internal dummy connection)",
        ] {
            assert!(is_known_bot(user_agent), "{user_agent}");
        }
    }

    #[test]
    fn programs_that_fetch_are_bots_and_browsers_are_not() {
        for user_agent in ["curl/8.1.2", "Wget/1.21.3", "python-requests/2.31.0", "Go-http-client/1.1", "Java/17.0.1"] {
            assert!(is_known_bot(user_agent), "{user_agent}");
        }
        for user_agent in [
            "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36",
            "Lynx/2.9.0dev.5 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.6.13",
            "",
            "-",
        ] {
            assert!(!is_known_bot(user_agent), "{user_agent}");
        }
    }

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
