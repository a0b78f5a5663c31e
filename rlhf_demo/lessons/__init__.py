"""What each lesson of the Learn tab computes; config/lessons.py has its texts."""
