"""What the studies say: tables read and checked, effect sizes, and how each was derived."""
