"""What a row class is: columns from field types, rules, and rows as steps take and return them."""
