"""trace: the messages of recent calls, kept in memory, and the ladders that are drawn from them."""
