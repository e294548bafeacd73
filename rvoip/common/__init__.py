"""What several libraries share, without a word of SIP: config, events, services, logs, timers, HTTP."""
