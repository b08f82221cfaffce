"""A campaign against rgbench: broken inputs, kills, crowded and full stores, bad servers; docs/campaign.md."""
