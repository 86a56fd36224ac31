"""How a trend's public count grows: what the forecaster is made of."""
