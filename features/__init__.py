"""TikTok metrics → features."""
