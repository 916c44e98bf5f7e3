"""What a chart needs: few points of many, smooth lines, shares of the total."""
